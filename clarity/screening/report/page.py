"""One HTML file by itself: no script, nothing fetched, every word from outside escaped, telephone or desktop."""

import html
from collections.abc import Iterable, Sequence

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""Content security: even if a name found its way into the markup, nothing would run and nothing be fetched."""
_STYLE = """
:root{color-scheme:light dark;--paper:#fff;--card:#f3f5f7;--line:#dde2e7;--ink:#1c2530;--soft:#5b6773;
--accent:#0b7285;--warm:#c2410c;--bad:#fdeae4;--good:#e4f4f1}
@media(prefers-color-scheme:dark){:root{--paper:#12161b;--card:#1c222a;--line:#323a44;--ink:#e8ecf0;--soft:#9ca8b4;
--accent:#35b6c9;--warm:#ff9254;--bad:#3b2018;--good:#12312f}}
*{box-sizing:border-box}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:68rem;margin:1.6rem auto;
padding:0 1.1rem}
h1{font-size:1.55rem;line-height:1.25;margin:0} h2{font-size:1.1rem;margin:0 0 .5rem} p{margin:.35rem 0}
.soft{color:var(--soft)} small,.small{font-size:.86rem}
.verdict{border-left:5px solid var(--accent);background:var(--good);padding:.7rem 1rem;margin:1rem 0;border-radius:4px}
.verdict.bad{border-color:var(--warm);background:var(--bad)} .verdict ul{margin:.3rem 0 0;padding-left:1.1rem}
.verdict li{overflow-wrap:anywhere}
ol.first{list-style:none;margin:.4rem 0 1.6rem;padding:0;display:grid;gap:.45rem}
ol.first li{display:grid;grid-template-columns:5.2rem 1fr;gap:.9rem;align-items:center;background:var(--card);
border-radius:6px;padding:.5rem .9rem;border-left:5px solid var(--accent)}
ol.first li.now{border-color:var(--warm)} ol.first li.none{opacity:.55;border-color:var(--line);padding-block:.2rem}
ol.first b{font-size:1.75rem;line-height:1.1;text-align:right;font-variant-numeric:tabular-nums}
ol.first .none b{font-size:1.15rem}
ol.first span{display:block} ol.first .what{font-weight:600}
.grid{columns:25rem 2;column-gap:1.1rem;padding-bottom:1.1rem} .grid section{break-inside:avoid;margin-bottom:1.1rem}
section{background:var(--card);border-radius:8px;padding:1rem 1.1rem;min-width:0} section.wide{margin-bottom:1.1rem}
svg{display:block;width:100%;height:auto;max-width:34rem}
.scroll{overflow-x:auto} table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:.93rem}
td,th{padding:.3rem .8rem .3rem 0;text-align:left;vertical-align:top}
td:last-child,th:last-child{padding-right:0} tr+tr td{border-top:1px solid var(--line)}
th{font-weight:600;color:var(--soft);border-bottom:1px solid var(--line)}
td.n,th.n{text-align:right;white-space:nowrap} td.long{min-width:13rem;overflow-wrap:anywhere}
.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(8.6rem,1fr));gap:.8rem}
.tiles figure{margin:0} .tiles img{width:100%;height:auto;border-radius:4px;display:block}
.tiles figcaption{font-size:.82rem;line-height:1.35;margin-top:.25rem}
footer{margin:1.6rem 0;color:var(--soft);font-size:.9rem}
@media(max-width:32rem){body{margin:.8rem auto;padding:0 .7rem} h1{font-size:1.3rem} section{padding:.8rem .8rem}
ol.first li{grid-template-columns:3.6rem 1fr;gap:.7rem;padding:.45rem .6rem} ol.first b{font-size:1.4rem}
.tiles{grid-template-columns:repeat(2,1fr)} table{font-size:.84rem} td,th{padding-right:.5rem}}
"""


def document(title: str, parts: Iterable[str]) -> bytes:
    """The whole file, UTF-8."""
    head = (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{say(title)}</title><style>{_STYLE}</style></head><body>"
    )
    return f"{head}{''.join(parts)}</body></html>\n".encode()


def say(value: object) -> str:
    """Text for the page: escaped, and what cannot be seen (a newline in a name, a change of direction) made visible."""
    seen = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in str(value))
    return html.escape(seen.encode("utf-8", "backslashreplace").decode())


def section(title: str, *parts: str, wide: bool = False) -> str:
    """A part of the page under its heading; ``parts`` are markup already."""
    return f"<section{' class=wide' if wide else ''}><h2>{say(title)}</h2>{''.join(parts)}</section>"


def table(head: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Sequence[int] = ()) -> str:
    """Plain cells, escaped; ``numbers`` are the columns that are right-aligned. Empty without rows."""
    body = [
        "<tr>" + "".join(f"<td{_kind(i, cell, numbers)}>{say(cell)}</td>" for i, cell in enumerate(row)) + "</tr>"
        for row in rows
    ]
    if not body:
        return ""
    names = "".join(f"<th{' class=n' if i in numbers else ''}>{say(cell)}</th>" for i, cell in enumerate(head))
    top = f"<tr>{names}</tr>" if any(head) else ""
    return f"<div class=scroll><table>{top}{''.join(body)}</table></div>"


def paragraph(text: object, *, soft: bool = False) -> str:
    """One sentence or two."""
    return f"<p{' class=soft' if soft else ''}>{say(text)}</p>"


def share(value: float | None) -> str:
    """A share as a percentage."""
    return "not known" if value is None else f"{100 * value:.1f} %"


def many(count: int, one: str, several: str = "") -> str:
    """``many(2, "visit") == "2 visits"``."""
    return f"{count:,} {one if count == 1 else several or one + 's'}"


def _kind(column: int, cell: object, numbers: Sequence[int]) -> str:
    if column in numbers:
        return " class=n"
    return " class=long" if len(str(cell)) > 40 else ""
