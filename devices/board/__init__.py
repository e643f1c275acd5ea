"""The board itself: battery and temperature."""
