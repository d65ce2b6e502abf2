"""Every policy rule with its default, once, as literal data. Operators override them by name in their policy file.

Names are those of OpenStack's Block Storage service, so an operator's existing file keeps its meaning;
defaults are its reader, member and admin personas.
"""

from collections.abc import Mapping

ADMIN = "rule:admin_api"
MEMBER = "rule:project_member"
READER = "rule:project_reader"
ANYBODY = "@"

PERSONAS: Mapping[str, str] = {
    "context_is_admin": "role:admin",
    "admin_api": "is_admin:True or rule:context_is_admin",
    "admin_or_owner": "rule:admin_api or project_id:%(project_id)s",
    "project_member": "rule:admin_api or (role:member and project_id:%(project_id)s)",
    "project_reader": "rule:admin_api or (role:reader and project_id:%(project_id)s)",
    "xena_system_admin_or_project_member": "rule:project_member",
    "xena_system_admin_or_project_reader": "rule:project_reader",
}
"""The rules that other rules are made of; the last two for operators' files that name them."""

VOLUMES: Mapping[str, str] = {
    "volume:create": MEMBER,
    "volume:create_from_image": MEMBER,
    "volume:multiattach": MEMBER,
    "volume:get": READER,
    "volume:get_all": READER,
    "volume:update": MEMBER,
    "volume:delete": MEMBER,
    "volume:force_delete": ADMIN,
    "volume:extend": MEMBER,
    "volume:extend_attached_volume": MEMBER,
    "volume:revert_to_snapshot": MEMBER,
    "volume:update_readonly_flag": MEMBER,
    "volume:get_volume_metadata": READER,
    "volume:create_volume_metadata": MEMBER,
    "volume:update_volume_metadata": MEMBER,
    "volume:delete_volume_metadata": MEMBER,
    "volume:update_volume_admin_metadata": ADMIN,
    "volume_extension:volume_host_attribute": ADMIN,
    "volume_extension:volume_tenant_attribute": READER,
    "volume_extension:volume_mig_status_attribute": ADMIN,
    "volume_extension:volume_encryption_metadata": READER,
    "volume_extension:volume_image_metadata:show": READER,
    "volume_extension:volume_image_metadata:set": MEMBER,
    "volume_extension:volume_image_metadata:remove": MEMBER,
    "volume_extension:volume_admin_actions:reset_status": ADMIN,
    "volume_extension:volume_admin_actions:force_delete": ADMIN,
    "volume_extension:volume_admin_actions:force_detach": ADMIN,
    "volume_extension:volume_actions:reserve": MEMBER,
    "volume_extension:volume_actions:unreserve": MEMBER,
    "volume_extension:volume_actions:attach": MEMBER,
    "volume_extension:volume_actions:detach": MEMBER,
    "volume_extension:volume_actions:begin_detaching": MEMBER,
    "volume_extension:volume_actions:roll_detaching": MEMBER,
    "volume_extension:volume_actions:initialize_connection": MEMBER,
    "volume_extension:volume_actions:terminate_connection": MEMBER,
}

ATTACHMENTS: Mapping[str, str] = {
    "volume:attachment_create": MEMBER,
    "volume:attachment_update": MEMBER,
    "volume:attachment_delete": MEMBER,
    "volume:attachment_complete": MEMBER,
    "volume:multiattach_bootable_volume": MEMBER,
}

SNAPSHOTS: Mapping[str, str] = {
    "volume:create_snapshot": MEMBER,
    "volume:get_snapshot": READER,
    "volume:get_all_snapshots": READER,
    "volume:update_snapshot": MEMBER,
    "volume:delete_snapshot": MEMBER,
    "volume:get_snapshot_metadata": READER,
    "volume:update_snapshot_metadata": MEMBER,
    "volume:delete_snapshot_metadata": MEMBER,
    "volume_extension:extended_snapshot_attributes": READER,
    "snapshot_extension:snapshot_actions:update_snapshot_status": MEMBER,
    "volume_extension:snapshot_admin_actions:reset_status": ADMIN,
    "volume_extension:snapshot_admin_actions:force_delete": ADMIN,
}

TYPES: Mapping[str, str] = {
    "volume_extension:type_create": ADMIN,
    "volume_extension:type_update": ADMIN,
    "volume_extension:type_delete": ADMIN,
    "volume_extension:type_get": ANYBODY,
    "volume_extension:type_get_all": ANYBODY,
    "volume_extension:access_types_extra_specs": ANYBODY,
    "volume_extension:access_types_qos_specs_id": ADMIN,
    "volume_extension:types_extra_specs:index": ANYBODY,
    "volume_extension:types_extra_specs:show": ANYBODY,
    "volume_extension:types_extra_specs:create": ADMIN,
    "volume_extension:types_extra_specs:update": ADMIN,
    "volume_extension:types_extra_specs:delete": ADMIN,
    "volume_extension:types_extra_specs:read_sensitive": ADMIN,
    "volume_extension:volume_type_access": ANYBODY,
    "volume_extension:volume_type_access:get_all_for_type": ADMIN,
    "volume_extension:volume_type_access:addProjectAccess": ADMIN,
    "volume_extension:volume_type_access:removeProjectAccess": ADMIN,
}

OPERATION: Mapping[str, str] = {
    "volume_extension:services:index": ADMIN,
    "volume_extension:services:update": ADMIN,
    "volume_extension:hosts": ADMIN,
    "scheduler_extension:scheduler_stats:get_pools": ADMIN,
    "volume_extension:capabilities": ADMIN,
    "volume_extension:availability_zone_list": ANYBODY,
    "volume_extension:extensions": ANYBODY,
    "limits_extension:used_limits": READER,
    "volume_extension:quotas:show": READER,
    "volume_extension:quotas:update": ADMIN,
    "volume_extension:quotas:delete": ADMIN,
    "volume_extension:quota_classes:get": ADMIN,
    "volume_extension:quota_classes:update": ADMIN,
}
"""Two names are ours: availability_zone_list and extensions, which have no rule elsewhere."""

RULES: Mapping[str, str] = {**PERSONAS, **VOLUMES, **ATTACHMENTS, **SNAPSHOTS, **TYPES, **OPERATION}
