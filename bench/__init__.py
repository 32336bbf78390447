"""Measurements that print a figure, its target and PASS or FAIL. `python -m bench --help` lists them."""
