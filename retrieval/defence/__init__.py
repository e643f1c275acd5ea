"""What keeps hostile or accidental evidence from being believed: hubs, echoes, orders, tiers."""
