// SPDX-License-Identifier: MIT OR Apache-2.0
declare module "*?text" {
  const text: string;
  export default text;
}
