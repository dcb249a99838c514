#!/bin/sh
# What the Dockerfile's first stage does, in two steps so that its layers are kept apart; works without an engine, too.
#
#   deploy/build.sh requirements FOLDER    a virtual environment with exactly what requirements.lock names, by hash
#   deploy/build.sh program FOLDER         the program into it, then out with all that only installs
#
# FOLDER cannot be moved afterwards. Whatever needs a compiler is refused: the lock names wheels for all of it.
set -eu

step=${1:?requirements or program}
folder=${2:?FOLDER}
pip="$folder/bin/python -m pip --no-cache-dir --disable-pip-version-check --no-input --quiet"

case $step in
    requirements)
        "${PYTHON:-python3}" -m venv "$folder"
        $pip install --require-hashes --no-deps --only-binary :all: --requirement requirements.lock
        ;;
    program)
        $pip install --no-deps --no-build-isolation --no-index .
        $pip check
        # Nothing is installed at run time; and what cannot be run cannot be abused.
        $pip uninstall --yes setuptools wheel
        $pip uninstall --yes pip
        packages=$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
        # Sources of extension modules and the tests of others: no program runs them.
        find "$packages" -type d \( -name tests -o -name test \) -prune -exec rm -r {} +
        find "$packages" \( -name '*.pyx' -o -name '*.pxd' -o -name '*.c' -o -name '*.h' \) -type f -delete
        # Whoever runs it may write nothing here, so that what Python would note down is made now.
        "$folder/bin/python" -m compileall -q -j 0 --invalidation-mode unchecked-hash "$packages"
        "$folder/bin/fallthrough" --help >/dev/null
        ;;
    *)
        echo "no such step: $step" >&2
        exit 2
        ;;
esac
