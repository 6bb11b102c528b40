"""Makes folders in the layouts of gated data sets, from data that anyone can get."""
