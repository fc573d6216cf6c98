CREATE TABLE "event_erasures" (
	"tenant_id" text NOT NULL,
	"id" text NOT NULL,
	"entity" text NOT NULL,
	"subject" text,
	"subject_hash" text NOT NULL,
	"state" text NOT NULL,
	"erased" jsonb NOT NULL,
	"created_at" timestamp with time zone NOT NULL,
	"finished_at" timestamp with time zone,
	CONSTRAINT "event_erasures_tenant_id_id_pk" PRIMARY KEY("tenant_id","id")
);
--> statement-breakpoint
CREATE TABLE "event_quality" (
	"tenant_id" text NOT NULL,
	"segment" text NOT NULL,
	"name" text NOT NULL,
	"type" text NOT NULL,
	"hour" timestamp with time zone NOT NULL,
	"kind" text NOT NULL,
	"value" double precision,
	"min" double precision,
	"max" double precision,
	"ok" boolean NOT NULL,
	"at" timestamp with time zone NOT NULL,
	CONSTRAINT "event_quality_tenant_id_segment_name_pk" PRIMARY KEY("tenant_id","segment","name")
);
--> statement-breakpoint
CREATE TABLE "event_seals" (
	"tenant_id" text NOT NULL,
	"number" bigint DEFAULT 0 NOT NULL,
	"hour" timestamp with time zone,
	"holder" text,
	"held_until" timestamp with time zone,
	CONSTRAINT "event_seals_tenant_id_pk" PRIMARY KEY("tenant_id")
);
--> statement-breakpoint
CREATE TABLE "event_segments" (
	"tenant_id" text NOT NULL,
	"id" text NOT NULL,
	"type" text NOT NULL,
	"version" integer NOT NULL,
	"hour" timestamp with time zone NOT NULL,
	"state" text NOT NULL,
	"blob" text NOT NULL,
	"sha256" text NOT NULL,
	"bytes" bigint NOT NULL,
	"rows" bigint NOT NULL,
	"events" bigint NOT NULL,
	"number_from" bigint NOT NULL,
	"number_to" bigint NOT NULL,
	"event_time_from" bigint,
	"event_time_to" bigint,
	"known_from" bigint,
	"known_to" bigint,
	"watermarks" jsonb NOT NULL,
	"sealed_at" timestamp with time zone NOT NULL,
	"superseded_by" text,
	CONSTRAINT "event_segments_tenant_id_id_pk" PRIMARY KEY("tenant_id","id")
);
--> statement-breakpoint
CREATE TABLE "event_settings" (
	"tenant_id" text NOT NULL,
	"retention_days" integer,
	"changed_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "event_settings_tenant_id_pk" PRIMARY KEY("tenant_id")
);
--> statement-breakpoint
ALTER TABLE "event_retractions" ADD COLUMN "due" boolean DEFAULT false NOT NULL;--> statement-breakpoint
CREATE INDEX "event_erasures_open" ON "event_erasures" USING btree ("tenant_id","created_at") WHERE state <> 'done';--> statement-breakpoint
CREATE INDEX "event_quality_by_hour" ON "event_quality" USING btree ("tenant_id","hour");--> statement-breakpoint
CREATE INDEX "event_segments_by_type" ON "event_segments" USING btree ("tenant_id","type","hour");--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE, DELETE ON
  event_seals, event_segments, event_settings, event_erasures, event_quality TO galley_app;
--> statement-breakpoint
-- Old rejections go with the log's retention, and those of who is forgotten.
GRANT DELETE ON event_rejections TO galley_app;
--> statement-breakpoint
DO $$
DECLARE name text;
BEGIN
  FOREACH name IN ARRAY ARRAY[
    'event_seals', 'event_segments', 'event_settings', 'event_erasures', 'event_quality'
  ] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
    EXECUTE format(
      'CREATE POLICY of_tenant ON %I TO galley_app
         USING (tenant_id = current_setting(''galley.tenant'', true))
         WITH CHECK (tenant_id = current_setting(''galley.tenant'', true))', name);
  END LOOP;
END $$;
--> statement-breakpoint
-- Takes the tables of old days away once every tenant's rows are gone from them. With row security off, a
-- query that a policy would filter fails, so that rows which cannot be seen are not taken for none.
CREATE FUNCTION galley_event_days_drop(before date) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
SET row_security = off SET lock_timeout = '2s' AS $$
DECLARE child text; found boolean; dropped integer := 0;
BEGIN
  before := least(before, current_date - 32);
  PERFORM pg_advisory_xact_lock(hashtext('galley_event_day'));
  FOR child IN
    SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent IN ('public.events'::regclass, 'public.event_positions'::regclass)
      AND right(c.relname, 8) < to_char(before, 'YYYYMMDD') ORDER BY right(c.relname, 8) LIMIT 8
  LOOP
    EXECUTE format('SELECT EXISTS (SELECT FROM public.%I)', child) INTO found;
    CONTINUE WHEN found;
    EXECUTE format('DROP TABLE public.%I', child);
    dropped := dropped + 1;
  END LOOP;
  RETURN dropped;
END $$;
--> statement-breakpoint
REVOKE ALL ON FUNCTION galley_event_days_drop(date) FROM PUBLIC;
--> statement-breakpoint
GRANT EXECUTE ON FUNCTION galley_event_days_drop(date) TO galley_system;
