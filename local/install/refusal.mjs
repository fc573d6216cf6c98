/** A reason not to go on whose message is all that its reader needs. */
export class Refusal extends Error {}
