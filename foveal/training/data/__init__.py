"""Training data: public sets, built records, self-distillation."""
