"""Data and training runs for the models that this project trains."""
