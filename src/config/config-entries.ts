import { HIDDEN } from "../base/index.ts";
import {
  hideMetadataSecrets,
  hideSecrets,
  hideSecretsInText,
  hideSecretsInTexts,
  isSecretHeader,
  isSecretName,
} from "../istio/index.ts";
import {
  DEFAULT_PROXY_CONFIG,
  encodeValue,
  type Field,
  type FieldType,
  type JsonValue,
  PROXY_CONFIG,
  type ProxyConfig,
} from "../istio/mesh/index.ts";
import { FIELD_HELP, FIELDS_WITHOUT_EFFECT } from "./field-help.ts";
import { ALL_FLAGS, flagHelp } from "./flags.ts";
import type { AgentConfig } from "./load-config.ts";
import { DEFAULT_ORIGIN, type Origin } from "./problem.ts";
import { SETTINGS } from "./read-settings.ts";
import type { Setting } from "./setting.ts";

export type EntryKind = "field" | "flag" | "variable" | "metadata" | "header" | "annotation";

/** One value of the configuration, ready to be shown; secrets are already hidden. */
export interface ConfigEntry {
  /** `drainDuration`, `--concurrency`, `SECRET_TTL`, `XDS_HEADER_a`. */
  readonly name: string;
  readonly kind: EntryKind;
  /** Null for what is not set and has no default. */
  readonly value: JsonValue;
  readonly default: JsonValue;
  /** `default`, or who said so. */
  readonly origin: Origin;
  readonly type: string;
  readonly help: string;
}

/** Every value of a configuration: ProxyConfig's fields, flags, variables, then what was passed on by prefix. */
export function configEntries(config: AgentConfig): readonly ConfigEntry[] {
  return [...fieldEntries(config), ...flagEntries(config), ...variableEntries(config), ...passedOn(config)];
}

/** The names of all fields, flags and variables; those that are only passed on, by prefix, are not among them. */
export function settingNames(): readonly string[] {
  const variables = SETTINGS.map(([, { env }]) => env);
  return [...Object.keys(PROXY_CONFIG), ...ALL_FLAGS.map(({ name }) => `--${name}`), ...variables];
}

/** A field of ProxyConfig as JSON; null when it is not set. */
export function showField(name: string, value: unknown): JsonValue {
  const field: Field | undefined = PROXY_CONFIG[name as keyof ProxyConfig];
  if (value === undefined || field === undefined) return null;
  const { document } = hideSecrets({ [name]: encodeValue(field, value) });
  return (document as Readonly<Record<string, JsonValue>>)[name] ?? null;
}

/** `duration`, `list of string`, `one of NONE, MUTUAL_TLS`. */
function typeText(field: FieldType): string {
  switch (field.kind) {
    case "wrapped":
      return `${field.of} or absent`;
    case "enum":
      return `one of ${Object.keys(field.values).join(", ")}`;
    case "list":
      return `list of ${typeText(field.of)}`;
    case "map":
      return `map to ${typeText(field.of)}`;
    case "message":
      return `{${Object.keys(field.of).join(", ")}}`;
    default:
      return field.kind;
  }
}

function fieldEntries({ proxy, origins }: AgentConfig): ConfigEntry[] {
  return (Object.keys(PROXY_CONFIG) as (keyof ProxyConfig)[]).map((name) => ({
    name,
    kind: "field",
    value: showField(name, proxy[name]),
    default: showField(name, DEFAULT_PROXY_CONFIG[name]),
    origin: origins.get(name) ?? DEFAULT_ORIGIN,
    type: typeText(PROXY_CONFIG[name]),
    help: helpText(FIELD_HELP[name], FIELDS_WITHOUT_EFFECT[name]),
  }));
}

function flagEntries({ flags, origins }: AgentConfig): ConfigEntry[] {
  return ALL_FLAGS.map((flag) => ({
    name: `--${flag.name}`,
    kind: "flag",
    value: withoutSecrets(flags[flag.name as keyof typeof flags]),
    default: flag.default,
    origin: origins.get(`--${flag.name}`) ?? DEFAULT_ORIGIN,
    type: flag.type,
    help: flagHelp(flag),
  }));
}

function helpText(help: string, withoutEffect: string | undefined): string {
  return withoutEffect === undefined ? help : `${help} (no effect: ${withoutEffect})`;
}

function variableEntries({ settings, origins }: AgentConfig): ConfigEntry[] {
  return SETTINGS.map(([name, row]) => ({
    name: row.env,
    kind: "variable",
    value: showSetting(row, settings[name as keyof typeof settings]),
    default: showSetting(row, row.default),
    origin: origins.get(row.env) ?? DEFAULT_ORIGIN,
    type: row.type,
    help: helpText(row.help, row.withoutEffect),
  }));
}

function showSetting(row: Setting<unknown>, value: unknown): JsonValue {
  if (row.isSecret === true && value !== row.default) return HIDDEN;
  if (value === undefined) return null;
  if (row.type === "list") return withoutSecrets(value as readonly string[]);
  return typeof value === "boolean" || (typeof value === "number" && row.type !== "duration")
    ? value
    : hideSecretsInText(row.parser.print(value));
}

function withoutSecrets(value: JsonValue): JsonValue {
  return hideSecretsInTexts(value, new Set()) as JsonValue;
}

function passedOn({ metadataEnv, xdsHeaders, caHeaders, podAnnotations }: AgentConfig): ConfigEntry[] {
  const entry = (kind: EntryKind, name: string, value: string, help: string): ConfigEntry => ({
    name,
    kind,
    value,
    default: null,
    origin: { source: kind === "annotation" ? "pod annotation" : name },
    type: "string",
    help,
  });
  const header =
    (prefix: string) =>
    ([name, value]: readonly [string, string]) =>
      entry(
        "header",
        `${prefix}${name}`,
        isSecretHeader(name) ? HIDDEN : hideSecretsInText(value),
        "A header of the connection",
      );
  const known = new Set(SETTINGS.map(([, { env }]) => env));
  return [
    ...metadataEnv
      .filter(([name]) => !known.has(name))
      .map(([name, value]) =>
        entry("metadata", name, metadataValue(name, value), "Node metadata, told to the control plane"),
      ),
    ...xdsHeaders.map(header("XDS_HEADER_")),
    ...caHeaders.map(header("CA_HEADER_")),
    ...[...podAnnotations].map(([name, value]) => entry("annotation", name, annotationValue(name, value), "")),
  ];
}

/** The annotation that holds a ProxyConfig may hold its secrets; the fields are shown one by one. */
function annotationValue(name: string, value: string): string {
  return name === "proxy.istio.io/config" || isSecretName(name) ? HIDDEN : hideSecretsInText(value);
}

/** A whole document, or one text. */
function metadataValue(name: string, value: string): string {
  if (isSecretName(name)) return HIDDEN;
  if (!name.startsWith("ISTIO_METAJSON_")) return hideSecretsInText(value);
  try {
    return JSON.stringify(hideMetadataSecrets(JSON.parse(value)));
  } catch {
    return HIDDEN; // who knows what it was meant to be
  }
}
