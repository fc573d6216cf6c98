CREATE TABLE "decision_endpoints" (
	"tenant_id" text NOT NULL,
	"name" text NOT NULL,
	"version" integer NOT NULL,
	"hash" text NOT NULL,
	"definition" jsonb NOT NULL,
	"plan" jsonb NOT NULL,
	"active" boolean DEFAULT true NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "decision_endpoints_tenant_id_name_version_pk" PRIMARY KEY("tenant_id","name","version")
);
--> statement-breakpoint
CREATE TABLE "decisions" (
	"tenant_id" text NOT NULL,
	"event_key" uuid NOT NULL,
	"endpoint" text NOT NULL,
	"endpoint_version" integer NOT NULL,
	"at" bigint NOT NULL,
	"snapshot" jsonb,
	"outcome" jsonb,
	"score" double precision,
	"label" jsonb,
	CONSTRAINT "decisions_tenant_id_endpoint_event_key_pk" PRIMARY KEY("tenant_id","endpoint","event_key")
);
--> statement-breakpoint
CREATE TABLE "event_batches" (
	"tenant_id" text NOT NULL,
	"id" text NOT NULL,
	"day" date NOT NULL,
	"keys" uuid[] NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "event_batches_tenant_id_id_pk" PRIMARY KEY("tenant_id","id")
);
--> statement-breakpoint
CREATE TABLE "event_keys" (
	"tenant_id" text NOT NULL,
	"key" uuid NOT NULL,
	"body_hash" uuid NOT NULL,
	"day" date NOT NULL,
	"number" bigserial NOT NULL,
	CONSTRAINT "event_keys_tenant_id_key_pk" PRIMARY KEY("tenant_id","key")
);
--> statement-breakpoint
CREATE TABLE "event_positions" (
	"tenant_id" text NOT NULL,
	"day" date NOT NULL,
	"number" bigint NOT NULL,
	"key" uuid NOT NULL,
	"entity" text NOT NULL,
	"entity_key" text NOT NULL,
	"partition" integer NOT NULL,
	"seq" bigint NOT NULL,
	"event_time" bigint NOT NULL,
	"known_at" bigint NOT NULL,
	CONSTRAINT "event_positions_tenant_id_number_entity_day_pk" PRIMARY KEY("tenant_id","number","entity","day")
) PARTITION BY RANGE ("day");
--> statement-breakpoint
CREATE TABLE "event_rejections" (
	"tenant_id" text NOT NULL,
	"number" bigserial NOT NULL,
	"at" timestamp with time zone NOT NULL,
	"source" text NOT NULL,
	"id" text NOT NULL,
	"type" text NOT NULL,
	"code" text NOT NULL,
	"detail" text NOT NULL,
	"key" uuid NOT NULL,
	"body_hash" uuid NOT NULL,
	CONSTRAINT "event_rejections_tenant_id_key_body_hash_pk" PRIMARY KEY("tenant_id","key","body_hash")
);
--> statement-breakpoint
CREATE TABLE "event_retractions" (
	"tenant_id" text NOT NULL,
	"target" uuid NOT NULL,
	"key" uuid NOT NULL,
	"day" date NOT NULL,
	CONSTRAINT "event_retractions_tenant_id_target_key_pk" PRIMARY KEY("tenant_id","target","key")
);
--> statement-breakpoint
CREATE TABLE "event_types" (
	"tenant_id" text NOT NULL,
	"type" text NOT NULL,
	"version" integer NOT NULL,
	"definition" jsonb NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "event_types_tenant_id_type_version_pk" PRIMARY KEY("tenant_id","type","version")
);
--> statement-breakpoint
CREATE TABLE "events" (
	"tenant_id" text NOT NULL,
	"day" date NOT NULL,
	"number" bigint NOT NULL,
	"key" uuid NOT NULL,
	"id" text NOT NULL,
	"source" text NOT NULL,
	"type" text NOT NULL,
	"version" integer NOT NULL,
	"event_time" bigint NOT NULL,
	"received_at" bigint NOT NULL,
	"data" jsonb NOT NULL,
	"retracts" uuid,
	"body_hash" uuid NOT NULL,
	CONSTRAINT "events_tenant_id_number_day_pk" PRIMARY KEY("tenant_id","number","day")
) PARTITION BY RANGE ("day");
--> statement-breakpoint
CREATE TABLE "feature_services" (
	"tenant_id" text NOT NULL,
	"name" text NOT NULL,
	"version" integer NOT NULL,
	"hash" text NOT NULL,
	"definition" jsonb NOT NULL,
	"plan" jsonb NOT NULL,
	"active" boolean DEFAULT true NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "feature_services_tenant_id_name_version_pk" PRIMARY KEY("tenant_id","name","version")
);
--> statement-breakpoint
CREATE TABLE "feature_views" (
	"tenant_id" text NOT NULL,
	"name" text NOT NULL,
	"version" integer NOT NULL,
	"hash" text NOT NULL,
	"definition" jsonb NOT NULL,
	"plan" jsonb NOT NULL,
	"active" boolean DEFAULT true NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "feature_views_tenant_id_name_version_pk" PRIMARY KEY("tenant_id","name","version")
);
--> statement-breakpoint
CREATE INDEX "decisions_by_time" ON "decisions" USING btree ("tenant_id","endpoint","at");--> statement-breakpoint
CREATE INDEX "event_batches_by_age" ON "event_batches" USING btree ("created_at");--> statement-breakpoint
CREATE INDEX "event_keys_by_day" ON "event_keys" USING brin ("day");--> statement-breakpoint
CREATE INDEX "event_rejections_by_number" ON "event_rejections" USING btree ("tenant_id","number");--> statement-breakpoint
-- The log stands in tables by day, so that a day goes away in one step. The application may ask for the
-- tables of a day near today, which it could not make itself: it owns nothing.
CREATE FUNCTION galley_event_day(wanted date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE parent text; child text;
BEGIN
  IF wanted NOT BETWEEN current_date - 40 AND current_date + 8 THEN
    RAISE EXCEPTION 'no table of events may be made for %', wanted;
  END IF;
  PERFORM pg_advisory_xact_lock(hashtext('galley_event_day'));
  FOREACH parent IN ARRAY ARRAY['events', 'event_positions'] LOOP
    child := parent || '_' || to_char(wanted, 'YYYYMMDD');
    CONTINUE WHEN to_regclass('public.' || child) IS NOT NULL;
    EXECUTE format('CREATE TABLE public.%I PARTITION OF public.%I FOR VALUES FROM (%L) TO (%L)',
      child, parent, wanted, wanted + 1);
    EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY', child);
    EXECUTE format('ALTER TABLE public.%I FORCE ROW LEVEL SECURITY', child);
    EXECUTE format(
      'CREATE POLICY of_tenant ON public.%I TO galley_app
         USING (tenant_id = current_setting(''galley.tenant'', true))
         WITH CHECK (tenant_id = current_setting(''galley.tenant'', true))', child);
  END LOOP;
END $$;
--> statement-breakpoint
REVOKE ALL ON FUNCTION galley_event_day(date) FROM PUBLIC;
--> statement-breakpoint
GRANT EXECUTE ON FUNCTION galley_event_day(date) TO galley_app, galley_system;
--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE, DELETE ON
  event_types, event_keys, events, event_positions, event_batches, event_retractions,
  feature_views, feature_services, decision_endpoints, decisions TO galley_app;
--> statement-breakpoint
GRANT SELECT, INSERT ON event_rejections TO galley_app;
--> statement-breakpoint
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO galley_app, galley_system;
--> statement-breakpoint
-- The sweep of what was not placed looks across tenants for work, and does it bound to one.
GRANT SELECT ON event_batches TO galley_system;
--> statement-breakpoint
GRANT SELECT, DELETE ON event_keys TO galley_system;
--> statement-breakpoint
DO $$
DECLARE name text;
BEGIN
  FOREACH name IN ARRAY ARRAY[
    'event_types', 'event_keys', 'events', 'event_positions', 'event_batches', 'event_retractions',
    'event_rejections', 'feature_views', 'feature_services', 'decision_endpoints', 'decisions'
  ] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
    EXECUTE format(
      'CREATE POLICY of_tenant ON %I TO galley_app
         USING (tenant_id = current_setting(''galley.tenant'', true))
         WITH CHECK (tenant_id = current_setting(''galley.tenant'', true))', name);
  END LOOP;
  FOREACH name IN ARRAY ARRAY['event_batches', 'event_keys'] LOOP
    EXECUTE format('CREATE POLICY of_platform ON %I TO galley_system USING (true)', name);
  END LOOP;
END $$;
