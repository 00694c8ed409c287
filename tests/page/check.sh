#!/bin/bash
# The page's files and their tests: types, lints, and how they are laid out. `--fix` lays them out.
set -eu
cd "$(dirname "$0")"
top=../..
if [ "${1:-}" = --fix ]; then
    (cd "$top" && tests/page/node_modules/.bin/eslint --fix --config tests/page/eslint.config.mjs src/ui tests/page/*.mjs) || true
    npx prettier --config .prettierrc.json --log-level warn --write "$top/src/ui/*.{js,css,html}" '*.mjs' '*.json' '!package-lock.json'
fi
npx tsc -p tsconfig.json
npx tsc -p tsconfig.tests.json
(cd "$top" && tests/page/node_modules/.bin/eslint --config tests/page/eslint.config.mjs src/ui tests/page/*.mjs)
npx prettier --config .prettierrc.json --check "$top/src/ui/*.{js,css,html}" '*.mjs' '*.json' '!package-lock.json'
