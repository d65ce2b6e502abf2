"""The whole API, one line per route: method, path below /v3 and the optional project, verb, policy rule.

Read it as the table of contents. A path's order here means nothing; literal parts of a path win over ids.
"""

from breezeblock.api.route import Route, action
from breezeblock.core.versions import V
from breezeblock.resources.attachments import attach as volume_attach
from breezeblock.resources.attachments import begin_detaching as volume_begin_detaching
from breezeblock.resources.attachments import complete as attachment_complete
from breezeblock.resources.attachments import create as attachment_create
from breezeblock.resources.attachments import delete as attachment_delete
from breezeblock.resources.attachments import detach as volume_detach
from breezeblock.resources.attachments import detail as attachment_detail
from breezeblock.resources.attachments import initialize_connection as volume_initialize
from breezeblock.resources.attachments import list as attachment_list
from breezeblock.resources.attachments import reserve as volume_reserve
from breezeblock.resources.attachments import roll_detaching as volume_roll_detaching
from breezeblock.resources.attachments import show as attachment_show
from breezeblock.resources.attachments import terminate_connection as volume_terminate_connection
from breezeblock.resources.attachments import unreserve as volume_unreserve
from breezeblock.resources.attachments import update as attachment_update
from breezeblock.resources.availability_zones import list as zone_list
from breezeblock.resources.extensions import list as extension_list
from breezeblock.resources.extensions import show as extension_show
from breezeblock.resources.limits import show as limits_show
from breezeblock.resources.pools import list as pool_list
from breezeblock.resources.pools import show_capabilities
from breezeblock.resources.quotas import defaults as quota_defaults
from breezeblock.resources.quotas import delete as quota_delete
from breezeblock.resources.quotas import show as quota_show
from breezeblock.resources.quotas import update as quota_update
from breezeblock.resources.services import disable as service_disable
from breezeblock.resources.services import disable_log_reason as service_disable_log_reason
from breezeblock.resources.services import enable as service_enable
from breezeblock.resources.services import list as service_list
from breezeblock.resources.snapshots import create as snapshot_create
from breezeblock.resources.snapshots import create_metadata as snapshot_create_metadata
from breezeblock.resources.snapshots import delete as snapshot_delete
from breezeblock.resources.snapshots import delete_metadata as snapshot_delete_metadata
from breezeblock.resources.snapshots import force_delete as snapshot_force_delete
from breezeblock.resources.snapshots import list as snapshot_list
from breezeblock.resources.snapshots import list_metadata as snapshot_list_metadata
from breezeblock.resources.snapshots import replace_metadata as snapshot_replace_metadata
from breezeblock.resources.snapshots import reset_status as snapshot_reset_status
from breezeblock.resources.snapshots import show as snapshot_show
from breezeblock.resources.snapshots import show_metadata as snapshot_show_metadata
from breezeblock.resources.snapshots import update as snapshot_update
from breezeblock.resources.snapshots import update_metadata as snapshot_update_metadata
from breezeblock.resources.snapshots import update_status as snapshot_update_status
from breezeblock.resources.types import create as type_create
from breezeblock.resources.types import create_specs as type_create_specs
from breezeblock.resources.types import delete as type_delete
from breezeblock.resources.types import delete_spec as type_delete_spec
from breezeblock.resources.types import list as type_list
from breezeblock.resources.types import list_specs as type_list_specs
from breezeblock.resources.types import show as type_show
from breezeblock.resources.types import show_default as type_show_default
from breezeblock.resources.types import show_spec as type_show_spec
from breezeblock.resources.types import update as type_update
from breezeblock.resources.types import update_spec as type_update_spec
from breezeblock.resources.volumes import create as volume_create
from breezeblock.resources.volumes import create_metadata as volume_create_metadata
from breezeblock.resources.volumes import delete as volume_delete
from breezeblock.resources.volumes import delete_metadata as volume_delete_metadata
from breezeblock.resources.volumes import extend as volume_extend
from breezeblock.resources.volumes import force_delete as volume_force_delete
from breezeblock.resources.volumes import list as volume_list
from breezeblock.resources.volumes import list_metadata as volume_list_metadata
from breezeblock.resources.volumes import replace_metadata as volume_replace_metadata
from breezeblock.resources.volumes import reset_status as volume_reset_status
from breezeblock.resources.volumes import revert as volume_revert
from breezeblock.resources.volumes import set_bootable as volume_set_bootable
from breezeblock.resources.volumes import set_image_metadata as volume_set_image_metadata
from breezeblock.resources.volumes import show as volume_show
from breezeblock.resources.volumes import show_encryption as volume_show_encryption
from breezeblock.resources.volumes import show_image_metadata as volume_show_image_metadata
from breezeblock.resources.volumes import show_metadata as volume_show_metadata
from breezeblock.resources.volumes import summary as volume_summary
from breezeblock.resources.volumes import unset_image_metadata as volume_unset_image_metadata
from breezeblock.resources.volumes import update as volume_update
from breezeblock.resources.volumes import update_metadata as volume_update_metadata
from breezeblock.resources.volumes import update_readonly_flag as volume_update_readonly_flag

VOLUME, SNAPSHOT, ATTACHMENT = "/volumes/{volume_id}", "/snapshots/{snapshot_id}", "/attachments/{attachment_id}"

ROUTES: tuple[Route, ...] = (
    # volumes
    Route("GET", "/volumes", volume_list, "volume:get_all"),
    Route("POST", "/volumes", volume_create, "volume:create", answers=202),
    Route("GET", "/volumes/detail", volume_list, "volume:get_all"),
    Route("GET", "/volumes/summary", volume_summary, "volume:get_all", since=V.SUMMARY),
    Route("GET", "/volumes/{volume_id}", volume_show, "volume:get"),
    Route("PUT", "/volumes/{volume_id}", volume_update, "volume:update"),
    Route("DELETE", "/volumes/{volume_id}", volume_delete, ("volume:delete", "volume:force_delete"), answers=202),
    Route("GET", "/volumes/{volume_id}/metadata", volume_list_metadata, "volume:get_volume_metadata"),
    Route("POST", "/volumes/{volume_id}/metadata", volume_create_metadata, "volume:create_volume_metadata"),
    Route("PUT", "/volumes/{volume_id}/metadata", volume_replace_metadata, "volume:update_volume_metadata"),
    Route("GET", "/volumes/{volume_id}/metadata/{key}", volume_show_metadata, "volume:get_volume_metadata"),
    Route("PUT", "/volumes/{volume_id}/metadata/{key}", volume_update_metadata, "volume:update_volume_metadata"),
    Route("DELETE", "/volumes/{volume_id}/metadata/{key}", volume_delete_metadata, "volume:delete_volume_metadata"),
    Route("GET", "/volumes/{volume_id}/encryption", volume_show_encryption, "volume_extension:volume_encryption_metadata"),
    action(VOLUME, "os-extend", volume_extend, "volume:extend"),
    action(VOLUME, "revert", volume_revert, "volume:revert_to_snapshot", V.REVERT),
    action(VOLUME, "os-set_bootable", volume_set_bootable, "volume:update", answers=200),
    action(VOLUME, "os-update_readonly_flag", volume_update_readonly_flag, "volume:update_readonly_flag"),
    action(VOLUME, "os-set_image_metadata", volume_set_image_metadata, "volume_extension:volume_image_metadata:set", answers=200),
    action(VOLUME, "os-unset_image_metadata", volume_unset_image_metadata, "volume_extension:volume_image_metadata:remove", answers=200),
    action(VOLUME, "os-show_image_metadata", volume_show_image_metadata, "volume_extension:volume_image_metadata:show", answers=200),
    action(VOLUME, "os-reset_status", volume_reset_status, "volume_extension:volume_admin_actions:reset_status"),
    action(VOLUME, "os-force_delete", volume_force_delete, "volume_extension:volume_admin_actions:force_delete"),
    # snapshots
    Route("GET", "/snapshots", snapshot_list, "volume:get_all_snapshots"),
    Route("POST", "/snapshots", snapshot_create, "volume:create_snapshot", answers=202),
    Route("GET", "/snapshots/detail", snapshot_list, "volume:get_all_snapshots"),
    Route("GET", "/snapshots/{snapshot_id}", snapshot_show, "volume:get_snapshot"),
    Route("PUT", "/snapshots/{snapshot_id}", snapshot_update, "volume:update_snapshot"),
    Route("DELETE", "/snapshots/{snapshot_id}", snapshot_delete, "volume:delete_snapshot", answers=202),
    Route("GET", "/snapshots/{snapshot_id}/metadata", snapshot_list_metadata, "volume:get_snapshot_metadata"),
    Route("POST", "/snapshots/{snapshot_id}/metadata", snapshot_create_metadata, "volume:update_snapshot_metadata"),
    Route("PUT", "/snapshots/{snapshot_id}/metadata", snapshot_replace_metadata, "volume:update_snapshot_metadata"),
    Route("GET", "/snapshots/{snapshot_id}/metadata/{key}", snapshot_show_metadata, "volume:get_snapshot_metadata"),
    Route("PUT", "/snapshots/{snapshot_id}/metadata/{key}", snapshot_update_metadata, "volume:update_snapshot_metadata"),
    Route("DELETE", "/snapshots/{snapshot_id}/metadata/{key}", snapshot_delete_metadata, "volume:delete_snapshot_metadata"),
    action(SNAPSHOT, "os-update_snapshot_status", snapshot_update_status, "snapshot_extension:snapshot_actions:update_snapshot_status"),
    action(SNAPSHOT, "os-reset_status", snapshot_reset_status, "volume_extension:snapshot_admin_actions:reset_status"),
    action(SNAPSHOT, "os-force_delete", snapshot_force_delete, "volume_extension:snapshot_admin_actions:force_delete"),
    # volume types and their extra specs
    Route("GET", "/types", type_list, "volume_extension:type_get_all"),
    Route("POST", "/types", type_create, "volume_extension:type_create"),
    Route("GET", "/types/default", type_show_default, "volume_extension:type_get"),
    Route("GET", "/types/{type_id}", type_show, "volume_extension:type_get"),
    Route("PUT", "/types/{type_id}", type_update, "volume_extension:type_update"),
    Route("DELETE", "/types/{type_id}", type_delete, "volume_extension:type_delete", answers=202),
    Route("GET", "/types/{type_id}/extra_specs", type_list_specs, "volume_extension:types_extra_specs:index"),
    Route("POST", "/types/{type_id}/extra_specs", type_create_specs, "volume_extension:types_extra_specs:create"),
    Route("GET", "/types/{type_id}/extra_specs/{key}", type_show_spec, "volume_extension:types_extra_specs:show"),
    Route("PUT", "/types/{type_id}/extra_specs/{key}", type_update_spec, "volume_extension:types_extra_specs:update"),
    Route("DELETE", "/types/{type_id}/extra_specs/{key}", type_delete_spec, "volume_extension:types_extra_specs:delete", answers=202),
    # quotas and limits
    Route("GET", "/limits", limits_show, "limits_extension:used_limits"),
    Route("GET", "/os-quota-sets/{project_id}", quota_show, "volume_extension:quotas:show"),
    Route("PUT", "/os-quota-sets/{project_id}", quota_update, "volume_extension:quotas:update"),
    Route("DELETE", "/os-quota-sets/{project_id}", quota_delete, "volume_extension:quotas:delete"),
    Route("GET", "/os-quota-sets/{project_id}/defaults", quota_defaults, "volume_extension:quotas:show"),
    # operation
    Route("GET", "/os-services", service_list, "volume_extension:services:index"),
    Route("PUT", "/os-services/enable", service_enable, "volume_extension:services:update"),
    Route("PUT", "/os-services/disable", service_disable, "volume_extension:services:update"),
    Route("PUT", "/os-services/disable-log-reason", service_disable_log_reason, "volume_extension:services:update"),
    Route("GET", "/scheduler-stats/get_pools", pool_list, "scheduler_extension:scheduler_stats:get_pools"),
    Route("GET", "/capabilities/{host}", show_capabilities, "volume_extension:capabilities"),
    Route("GET", "/os-availability-zone", zone_list, "volume_extension:availability_zone_list"),
    Route("GET", "/extensions", extension_list, "volume_extension:extensions"),
    Route("GET", "/extensions/{alias}", extension_show, "volume_extension:extensions"),
    # attachments, and the older actions
    Route("GET", "/attachments", attachment_list, "volume:get_all", since=V.ATTACHMENTS),
    Route("GET", "/attachments/detail", attachment_detail, "volume:get_all", since=V.ATTACHMENTS),
    Route("POST", "/attachments", attachment_create, "volume:attachment_create", since=V.ATTACHMENTS),
    Route("GET", "/attachments/{attachment_id}", attachment_show, "volume:get", since=V.ATTACHMENTS),
    Route("PUT", "/attachments/{attachment_id}", attachment_update, "volume:attachment_update", since=V.ATTACHMENTS),
    Route("DELETE", "/attachments/{attachment_id}", attachment_delete, "volume:attachment_delete", since=V.ATTACHMENTS),
    action(ATTACHMENT, "os-complete", attachment_complete, "volume:attachment_complete", V.ATTACHMENT_COMPLETE, answers=204),
    action(VOLUME, "os-reserve", volume_reserve, "volume_extension:volume_actions:reserve"),
    action(VOLUME, "os-unreserve", volume_unreserve, "volume_extension:volume_actions:unreserve"),
    action(VOLUME, "os-attach", volume_attach, "volume_extension:volume_actions:attach"),
    action(VOLUME, "os-detach", volume_detach, "volume_extension:volume_actions:detach"),
    action(VOLUME, "os-begin_detaching", volume_begin_detaching, "volume_extension:volume_actions:begin_detaching"),
    action(VOLUME, "os-roll_detaching", volume_roll_detaching, "volume_extension:volume_actions:roll_detaching"),
    action(VOLUME, "os-initialize_connection", volume_initialize, "volume_extension:volume_actions:initialize_connection", answers=200),
    action(VOLUME, "os-terminate_connection", volume_terminate_connection, "volume_extension:volume_actions:terminate_connection"),
)
