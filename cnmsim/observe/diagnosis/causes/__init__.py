"""Why a probe or a call ended as it did: causes, remarks and assumptions, as values with fields."""
