/** A block that says that it is a certificate. */
export const NO_CERTIFICATE = "-----BEGIN CERTIFICATE-----\nbm90IGEgY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n";

/** Root files as they are met in the wild, each of which holds the good certificate `pem` somewhere. */
export const ODD_ROOT_FILES: readonly (readonly [string, (pem: string) => string])[] = [
  ["a broken certificate before it", (pem) => `${NO_CERTIFICATE}${pem}`],
  ["a broken certificate after it", (pem) => `${pem}\n${NO_CERTIFICATE}`],
  ["one that is cut off before it", (pem) => `${pem.slice(0, 120)}\n${pem}`],
  ["one that is cut off after it", (pem) => `${pem}\n${pem.slice(0, 120)}`],
  ["one that is no base64 before it", (pem) => `-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n${pem}`],
  ["itself a second time", (pem) => `${pem}\n${pem}`],
  ["text before, between and after", (pem) => `# roots\nBag Attributes: <none>\n${pem}\nsubject=CN = x\n${pem}\nend`],
  ["blocks of other kinds", (pem) => `${pem.replaceAll("CERTIFICATE", "X509 CRL")}\n${pem}`],
  ["a trusted certificate before it", (pem) => `${pem.replaceAll("CERTIFICATE", "TRUSTED CERTIFICATE")}\n${pem}`],
  ["CRLF as line ends", (pem) => pem.replaceAll("\n", "\r\n")],
  ["CR as line ends", (pem) => pem.replaceAll("\n", "\r")],
  ["a byte order mark", (pem) => `\uFEFF${pem}`],
  ["no newline at its end", (pem) => pem.trimEnd()],
  ["white space around its lines", (pem) => pem.replace(/^(?!-)(.*)$/gm, " \t$1 ")],
  ["one long line", (pem) => oneLine(pem, "\n")],
  [
    "spaces where the newlines were",
    (pem) => pem.trim().replace(/\n/g, " ").replace("BEGIN CERTIFICATE-----", "BEGIN CERTIFICATE-----\n"),
  ],
  ["two blocks without a newline between", (pem) => `${pem.trimEnd()}${pem.trimEnd()}`],
  ["headers in its block", (pem) => pem.replace("-----\n", "-----\nComment: mine\nMore: yes\n\n")],
];

function oneLine(pem: string, end: string): string {
  const [first = "", ...rest] = pem.trim().split("\n");
  return `${first}${end}${rest.slice(0, -1).join("")}${end}${rest.at(-1)}${end}`;
}
