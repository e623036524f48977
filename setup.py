"""Package metadata.  `pyproject.toml` holds the build system and the tools' settings, nothing else."""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent


def read_version() -> str:
    """Read the version from its one place without importing the package."""
    text = (HERE / "txbridge" / "_version.py").read_text(encoding="utf-8")
    match = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    if match is None:
        raise RuntimeError('txbridge/_version.py has no line __version__ = "..."')
    return match.group(1)


GRAPHS = ["matplotlib>=3.10"]
HOST = ["psutil>=7.0"]
JOULE = ["dateparser>=1.2"]
TEST = [
    *GRAPHS,
    *HOST,
    *JOULE,
    "hypothesis>=6.150",
    "lxml>=6.0",
    "playwright>=1.60",
    "pytest>=9.0",
    "pytest-twisted>=1.14.3",
    "pytest-xdist>=3.8",
]
LINT = [
    *TEST,
    "import-linter>=2.5",
    "lxml-stubs>=0.5.1",
    "mypy>=1.18",
    "mypy-zope>=1.0.14",
    "ruff>=0.14",
    "towncrier>=25.8",
    "types-psutil>=7.0",
]
DOCS = [
    *HOST,
    "furo>=2025.9",
    "sphinx>=8.2,<10",
]
BENCH = [
    *TEST,
    "aiohttp>=3.13",
]

setup(
    name="txbridge",
    version=read_version(),
    description="Move device data between Cosm, Joule, iobeam, intdash and sisock without losing a point",
    long_description=(HERE / "README.rst").read_text(encoding="utf-8"),
    long_description_content_type="text/x-rst",
    author="txbridge contributors",
    license="MIT",
    license_files=["LICENSE"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Framework :: Twisted",
        "Intended Audience :: Developers",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Home Automation",
        "Typing :: Typed",
    ],
    python_requires=">=3.11",
    # The explicit root makes an editable install one line in a .pth file, which is what Twisted's
    # plugin search needs: it looks for `twisted/plugins` below each entry of sys.path.
    package_dir={"": "."},
    packages=find_packages(include=["txbridge", "txbridge.*"]),
    py_modules=["twisted.plugins.txbridge_plugin"],
    package_data={"txbridge": ["py.typed", "hub/web/*", "hub/web/vendor/*"]},
    install_requires=[
        "attrs>=25.4",
        "autobahn[twisted]>=26.10.2",
        # No floor here: pyOpenSSL and Autobahn between them leave room for one release series.
        "cryptography",
        "hyperlink>=21",
        "idna>=3.10",
        "msgspec>=0.22",
        "numpy>=2.3",
        "plotext>=6.1",
        "pyopenssl>=26.4",
        "rich>=14.2",
        "service-identity>=24.2",
        "treq>=25.5",
        "twisted[tls]>=26.4",
        "tzdata>=2025.2",
    ],
    extras_require={
        "graphs": GRAPHS,
        "host": HOST,
        "joule": JOULE,
        "test": TEST,
        "lint": LINT,
        "docs": DOCS,
        "bench": BENCH,
        "dev": sorted({*TEST, *LINT, *DOCS, *BENCH}),
    },
    entry_points={"console_scripts": ["txbridge = txbridge.daemon.cli:main"]},
)
