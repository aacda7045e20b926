"""Download pip's wheel from the package index: for a Python without ensurepip (Debian without python3-venv)."""

import hashlib
import html.parser
import os
import re
import sys
import urllib.parse
import urllib.request


class _Links(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        url = dict(attrs).get("href") if tag == "a" else None
        if url and re.search(r"/pip-2\d\.[\d.]+-py3-none-any\.whl", url) and "data-yanked" not in dict(attrs):
            self.urls.append(url)


def main(folder: str) -> str:
    index = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/") + "/pip/"
    links = _Links()
    with urllib.request.urlopen(index, timeout=60) as page:  # noqa: S310
        links.feed(page.read().decode())
    newest = max(links.urls, key=lambda url: [int(n) for n in re.findall(r"\d+", re.search(r"/pip-([\d.]+)-", url)[1])])
    url, _, digest = urllib.parse.urljoin(index, newest).partition("#sha256=")
    with urllib.request.urlopen(url, timeout=60) as wheel:  # noqa: S310
        data = wheel.read()
    if digest and hashlib.sha256(data).hexdigest() != digest:
        sys.exit(f"{url}: another sha256 than the index says")
    target = os.path.join(folder, url.rpartition("/")[2])
    with open(target, "wb") as out:
        out.write(data)
    return target


if __name__ == "__main__":
    print(main(sys.argv[1]))
