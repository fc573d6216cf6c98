CREATE TABLE "runners" (
	"name" text PRIMARY KEY NOT NULL,
	"hardware" text NOT NULL,
	"providers" jsonb NOT NULL,
	"lacks" text,
	"cores" integer NOT NULL,
	"model_memory_mb" integer NOT NULL,
	"seen_at" timestamp with time zone DEFAULT now() NOT NULL
);

--> statement-breakpoint
GRANT SELECT ON runners TO galley_app;
--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE, DELETE ON runners TO galley_system;
