/** @file Modules that ComfyUI serves; the build gives them their addresses. */
declare module 'comfy/app' {
  export const app: import('./comfy.ts').ComfyApp;
}
declare module 'comfy/api' {
  export const api: import('./comfy.ts').ComfyApi;
}
declare module '*.css' {
  const text: string;
  export = text;
}
