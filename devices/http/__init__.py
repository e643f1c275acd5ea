"""What every HTTP endpoint does first: rates, tokens, bounded bodies, problem documents."""
