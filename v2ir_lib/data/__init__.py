"""The paper's §4: real data sets imported, audited, split without leakage, and packed for training."""
