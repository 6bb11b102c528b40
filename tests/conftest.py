"""Lets processes that run the tests together tell each other about names that are not UTF-8."""

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable(report):
    """Escapes lone surrogates in what a test printed; xdist sends text as strict UTF-8."""
    data = yield
    if data and data.get("sections"):
        data["sections"] = [
            tuple(text.encode(errors="backslashreplace").decode() for text in section)
            for section in data["sections"]
        ]
    return data
