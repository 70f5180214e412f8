"""Arrays in, numbers out: what is measured about masks. numpy only."""
