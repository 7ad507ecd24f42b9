"""Stand-ins for the vendors, which answer from what happens in the sandbox.

To add one: write a module with `make_app` (a Starlette application that answers as the vendor does), `describe` (how the
vendor names an operation), `failure` (how it words a failure) and a `Vendor` of them; add its name to `VENDORS` in
`addresses.py` and its `Tap` in `__main__.py`; let `tests/sandbox/test_contracts.py` hold it against the vendor's schema.
"""
