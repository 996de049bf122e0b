declare const config: { readonly overrides: readonly { readonly files: readonly string[] }[] };
export default config;
