/** How a field of a Kubernetes type is written, merged and left out. */
export interface PodField {
  /** Its name in JSON. */
  readonly name: string;
  /** Its name in Go, by which a template reaches it. */
  readonly goName: string;
  readonly kind: "scalar" | "struct" | "map" | "list" | "quantity" | "quantities";
  /** Type of a struct, or of the items of a list; undefined for what is taken as it is. */
  readonly type: string | undefined;
  /** Whether it is there in any case, one that is a zero too. */
  readonly isKept: boolean;
  /** Whether a zero is something else than nothing: Go has a pointer. */
  readonly isPointer: boolean;
  /** By which items of a list are merged; undefined where a list replaces the other. */
  readonly mergeKey: string | undefined;
}

/**
 * The fields of a pod by type, in the order in which Go writes them. `!` stands behind what is always written, `*` behind a
 * pointer, `{}` behind a map, `[]` behind a list, with the type of its items and their merge key; `~` marks quantities.
 * What is not named here is taken as it is. Source: kubernetes/api core/v1 types.go (v0.36).
 */
const TYPES: Readonly<Record<string, string>> = {
  Pod: "kind apiVersion metadata:ObjectMeta! spec:PodSpec!",
  ObjectMeta:
    "name generateName namespace selfLink uid resourceVersion generation creationTimestamp deletionTimestamp " +
    "deletionGracePeriodSeconds* labels{} annotations{} ownerReferences[OwnerReference@uid] finalizers[@] managedFields[]",
  OwnerReference: "apiVersion! kind! name! uid! controller* blockOwnerDeletion*",
  PodSpec:
    "volumes[Volume@name] initContainers[Container@name] containers[Container@name]! ephemeralContainers[@name] " +
    "restartPolicy terminationGracePeriodSeconds* activeDeadlineSeconds* dnsPolicy nodeSelector{} serviceAccountName " +
    "serviceAccount automountServiceAccountToken* nodeName hostNetwork hostPID hostIPC shareProcessNamespace* " +
    "securityContext:PodSecurityContext* imagePullSecrets[@name] hostname subdomain affinity* schedulerName " +
    "tolerations[] hostAliases[@ip] priorityClassName priority* dnsConfig* readinessGates[] runtimeClassName* " +
    "enableServiceLinks* preemptionPolicy* overhead~~ topologySpreadConstraints[@topologyKey] setHostnameAsFQDN* os* " +
    "hostUsers* schedulingGates[@name] resourceClaims[@name] resources:ResourceRequirements* hostnameOverride* " +
    "schedulingGroup*",
  Container:
    "name! image command[] args[] workingDir ports[ContainerPort@containerPort] envFrom[] env[EnvVar@name] " +
    "resources:ResourceRequirements! resizePolicy[] restartPolicy* restartPolicyRules[] volumeMounts[VolumeMount@mountPath] " +
    "volumeDevices[@devicePath] livenessProbe:Probe* readinessProbe:Probe* startupProbe:Probe* lifecycle:Lifecycle* " +
    "terminationMessagePath terminationMessagePolicy imagePullPolicy securityContext:SecurityContext* stdin stdinOnce tty",
  ContainerPort: "name hostPort containerPort! protocol hostIP",
  EnvVar: "name! value valueFrom:EnvVarSource*",
  EnvVarSource: "fieldRef:FieldRef* resourceFieldRef:ResourceFieldRef* configMapKeyRef* secretKeyRef* fileKeyRef*",
  FieldRef: "apiVersion fieldPath!",
  ResourceFieldRef: "containerName resource! divisor~!",
  ResourceRequirements: "limits~~ requests~~ claims[]",
  VolumeMount: "name! readOnly recursiveReadOnly* mountPath! subPath mountPropagation* subPathExpr",
  Probe:
    "exec:Exec* httpGet:HttpGet* tcpSocket:TcpSocket* grpc:Grpc* initialDelaySeconds timeoutSeconds periodSeconds " +
    "successThreshold failureThreshold terminationGracePeriodSeconds*",
  Lifecycle: "postStart:LifecycleHandler* preStop:LifecycleHandler* stopSignal*",
  LifecycleHandler: "exec:Exec* httpGet:HttpGet* tcpSocket:TcpSocket* sleep*",
  Exec: "command[]",
  HttpGet: "path port! host scheme httpHeaders[HttpHeader]",
  HttpHeader: "name! value!",
  TcpSocket: "port! host",
  Grpc: "port! service*!",
  SecurityContext:
    "capabilities:Capabilities* privileged* seLinuxOptions* windowsOptions* runAsUser* runAsGroup* runAsNonRoot* " +
    "readOnlyRootFilesystem* allowPrivilegeEscalation* procMount* seccompProfile* appArmorProfile*",
  Capabilities: "add[] drop[]",
  PodSecurityContext:
    "seLinuxOptions* windowsOptions* runAsUser* runAsGroup* runAsNonRoot* supplementalGroups[] " +
    "supplementalGroupsPolicy* fsGroup* sysctls[] fsGroupChangePolicy* seccompProfile* appArmorProfile* " +
    "seLinuxChangePolicy*",
  Volume:
    "name! hostPath* emptyDir* gcePersistentDisk* awsElasticBlockStore* gitRepo* secret* nfs* iscsi* glusterfs* " +
    "persistentVolumeClaim* rbd* flexVolume* cinder* cephfs* flocker* downwardAPI* fc* azureFile* configMap* " +
    "vsphereVolume* quobyte* azureDisk* photonPersistentDisk* projected* portworxVolume* scaleIO* storageos* csi* " +
    "ephemeral* image*",
};

const parsed = new Map<string, readonly PodField[]>();

/** The fields of a type, in their order. */
export function fieldsOf(type: string): readonly PodField[] {
  const found = parsed.get(type) ?? (TYPES[type] ?? "").split(" ").map(parseField);
  parsed.set(type, found);
  return found;
}

function parseField(text: string): PodField {
  const [, name = "", type, quantity, map, list, key, flags = ""] =
    /^(\w+)(?::(\w+))?(~{0,2})(\{\})?(?:\[(\w*)(?:@(\w*))?\])?([*!]*)$/.exec(text) ?? [];
  return {
    name,
    goName: goNameOf(name),
    kind: kindOf({ type, quantity, map, list }),
    type: type ?? (list || undefined),
    isKept: flags.includes("!"),
    isPointer: flags.includes("*"),
    mergeKey: key,
  };
}

type Marks = Readonly<Record<"type" | "quantity" | "map" | "list", string | undefined>>;

function kindOf({ type, quantity, map, list }: Marks): PodField["kind"] {
  if (quantity === "~") return "quantity";
  if (quantity === "~~") return "quantities";
  if (map !== undefined) return "map";
  if (list !== undefined) return "list";
  return type === undefined ? "scalar" : "struct";
}

const GO_NAMES: Readonly<Record<string, string>> = {
  serviceAccount: "DeprecatedServiceAccount",
  httpGet: "HTTPGet",
  httpHeaders: "HTTPHeaders",
  tcpSocket: "TCPSocket",
  grpc: "GRPC",
  dnsPolicy: "DNSPolicy",
  dnsConfig: "DNSConfig",
  tty: "TTY",
  os: "OS",
  apiVersion: "APIVersion",
  uid: "UID",
  seLinuxOptions: "SELinuxOptions",
  fsGroup: "FSGroup",
  nfs: "NFS",
  csi: "CSI",
};

function goNameOf(name: string): string {
  return GO_NAMES[name] ?? name.charAt(0).toUpperCase() + name.slice(1);
}
