"""What a plain `pip install hdgan`, without extras, brings: megabytes by distribution and in all, and whether torch is among them.

    python benchmarks/install_size.py [--scratch FOLDER] [--keep]

Makes a new virtual environment in a folder of its own (a temporary one unless named; never inside the repository), installs this checkout there with
the package index that pip is set up for, and adds up the bytes of the files, compiled ones too. `--site FOLDER` adds up an environment that is there
already. Ends with 1 where more than 400 MB came, or torch.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from importlib.metadata import Distribution, distributions
from pathlib import Path

ROOT = Path(__file__).parents[1]
MOST_MB = 400
PACKAGED = ("pyproject.toml", "README.md", "LICENSE", "src")
HEAVY = ("torch", "monai", "tensorboard")
"""Distributions that only the extras may bring."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch", type=Path, help="folder to install into, outside the repository; must not exist")
    parser.add_argument("--keep", action="store_true", help="do not remove it at the end")
    parser.add_argument("--site", type=Path, help="a folder of installed packages to measure instead")
    parser.add_argument("--out", type=Path, help="sizes as JSON")
    options = parser.parse_args()
    if options.site is not None:
        sizes, rest = measured(options.site)
    else:
        scratch = (options.scratch or Path(tempfile.mkdtemp(prefix="hdgan-install-")) / "fresh").resolve()
        if scratch.is_relative_to(ROOT) or scratch.exists():
            parser.error(f"{scratch} exists or lies inside the repository")
        try:
            sizes, rest = measured(installed(scratch), without=("pip", "setuptools"))
        finally:
            if not options.keep:
                shutil.rmtree(scratch if options.scratch else scratch.parent, ignore_errors=True)
    if options.out:
        options.out.write_text(json.dumps({"sizes": sizes, "rest": rest}))
    sys.exit(told(sizes, rest))


def installed(scratch: Path) -> Path:
    """The site-packages of a new environment in `scratch` with this checkout in it. What is built is a copy: pip leaves build folders behind."""
    copy, environment = scratch / "copy", scratch / "environment"
    copy.mkdir(parents=True)
    for name in PACKAGED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(ROOT / name, copy / name)
    venv.create(environment, with_pip=True)
    python = environment / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", copy], check=True)
    found = [python, "-c", "import sysconfig; print(sysconfig.get_path('platlib'))"]
    return Path(subprocess.run(found, check=True, capture_output=True, text=True).stdout.strip())


def measured(site: Path, *, without: tuple[str, ...] = ()) -> tuple[dict[str, int], int]:
    """Bytes of each distribution in `site` but for those named, and of files there that belong to none."""
    every = {path.resolve(): path.stat().st_size for path in site.rglob("*") if path.is_file() and not path.is_symlink()}
    sizes: dict[str, int] = {}
    for found in distributions(path=[str(site)]):
        name = re.sub(r"[-_.]+", "-", found.metadata["Name"]).lower()
        files = files_of(found, site)
        size = sum(every.pop(path, 0) for path in files)
        if name not in without:
            sizes[name] = sizes.get(name, 0) + size
    return sizes, sum(every.values())


def files_of(found: Distribution, site: Path) -> set[Path]:
    """The files of a distribution as it lists them, and those compiled from them."""
    listed = {Path(str(found.locate_file(file))).resolve() for file in found.files or ()}
    folders = {path.parent / "__pycache__" for path in listed if path.suffix == ".py" and path.is_relative_to(site.resolve())}
    compiled = {path.resolve() for folder in folders if folder.is_dir() for path in folder.iterdir()}
    stems = {(path.parent, path.stem) for path in listed}
    return listed | {path for path in compiled if (path.parent.parent, path.name.split(".")[0]) in stems}


def told(sizes: dict[str, int], rest: int) -> int:
    """Prints the table; 0 where what came is as light as promised, else 1."""
    print("| distribution | MB |\n|---|---|")
    for name, size in sorted(sizes.items(), key=lambda pair: -pair[1]):
        print(f"| {name} | {size / 1e6:.1f} |")
    total, heavy = (sum(sizes.values()) + rest) / 1e6, [name for name in HEAVY if name in sizes]
    print(f"| files of none | {rest / 1e6:.1f} |")
    print(f"in all {total:.1f} MB (at most {MOST_MB} wanted); of {', '.join(HEAVY)}: {', '.join(heavy) or 'none'}")
    return int(total > MOST_MB or bool(heavy))


if __name__ == "__main__":
    main()
