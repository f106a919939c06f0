export { goMessage } from "./go-message.ts";
export {
  GoInt,
  GoNil,
  GoStruct,
  type GoValue,
  goNilCollection,
  goRecord,
  goTextMap,
  goTyped,
  goTypeName,
  isNilCollection,
} from "./go-value.ts";
