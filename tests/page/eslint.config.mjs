import js from "@eslint/js";

/** What browsers have that the page uses; what is not here is a slip of the pen. */
const BROWSER = [
  "AbortController",
  "AbortSignal",
  "Blob",
  "CSS",
  "Event",
  "HTMLElement",
  "IntersectionObserver",
  "Intl",
  "MediaSource",
  "Node",
  "PointerEvent",
  "ResizeObserver",
  "TextDecoder",
  "URL",
  "URLSearchParams",
  "WebSocket",
  "XMLHttpRequest",
  "addEventListener",
  "clearInterval",
  "clearTimeout",
  "console",
  "document",
  "fetch",
  "getComputedStyle",
  "history",
  "localStorage",
  "location",
  "matchMedia",
  "navigator",
  "performance",
  "queueMicrotask",
  "requestAnimationFrame",
  "setInterval",
  "setTimeout",
  "window",
];
const NODE = [
  "Buffer",
  "URL",
  "URLSearchParams",
  "console",
  "document",
  "fetch",
  "performance",
  "process",
  "setTimeout",
  "clearTimeout",
];

/** @param {string[]} names */
const globals = (names) => Object.fromEntries(names.map((n) => [n, "readonly"]));

const rules = {
  ...js.configs.recommended.rules,
  curly: ["error", "multi-line", "consistent"],
  eqeqeq: "error",
  "no-alert": "error",
  "no-console": ["error", { allow: ["error"] }],
  "no-eval": "error",
  "no-implied-eval": "error",
  "no-new-func": "error",
  "no-restricted-syntax": [
    "error",
    {
      selector: "MemberExpression[property.name=/^(innerHTML|outerHTML|insertAdjacentHTML|document\\.write)$/]",
      message: "Text from cameras and people is put in as text, with h() and say().",
    },
    { selector: "NewExpression[callee.name='Date'][arguments.length=0]", message: "The recorder's clock is now90k()." },
  ],
  "no-shadow": "error",
  "no-var": "error",
  "object-shorthand": "error",
  "prefer-const": "error",
  "prefer-template": "error",
};

export default [
  { files: ["**/src/ui/*.js"], languageOptions: { globals: globals(BROWSER) }, rules },
  {
    files: ["**/tests/page/*.mjs"],
    languageOptions: { globals: globals([...BROWSER, ...NODE]) },
    rules: { ...rules, "no-console": "off", "no-restricted-syntax": "off", "no-shadow": "off" },
  },
];
