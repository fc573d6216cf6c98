/** The version of the API, as it describes itself. */
export const API_VERSION = '0.1.0'
