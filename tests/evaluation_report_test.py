"""The evaluation's page."""

from browser import chromium

from fml_tf.evaluation.report import write_report


def test_a_wide_table_scrolls_by_itself_on_a_phone(tmp_path):
    methods = [f"method {i}" for i in range(9)]
    rows = [methods, ["---"] * len(methods), ["1.234, 5.678 ± 9.012"] * len(methods)]
    text = "# now\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n\nThe end.\n"
    write_report("now", text, {}, tmp_path)
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 390, "height": 844})
        page.goto((tmp_path / "report.html").as_uri())
        table = page.locator("table")
        assert table.locator("th").count() + table.locator("td").count() == 2 * len(methods)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert table.evaluate("table => table.scrollWidth > table.clientWidth")
