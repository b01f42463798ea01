"""Operations that need more than a call: they stream, take the connection over, or depend on the clock."""
