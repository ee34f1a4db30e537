// The package's version.

declare const PACKAGE_VERSION: string;

/** Put in by the build. */
export const VERSION = PACKAGE_VERSION;
