"""Programs that are not simulated: which ports they listen on, how that is known, and what runs in their place."""
