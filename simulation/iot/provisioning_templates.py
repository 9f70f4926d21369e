"""AWS IoT's provisioning templates: made, listed and described; just_in_time.py carries out those of CAs (JITP)."""

from simulation.faults import Answer, Params, ServiceError
from simulation.iot.answers import missing, page
from simulation.place import Place


class ProvisioningTemplates:
    """The provisioning templates of one account and Region."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.by_name: dict[str, Params] = {}

    def create_provisioning_template(self, params: Params) -> Answer:
        name = params["templateName"]
        arn = self._place.arn("iot", f"provisioningtemplate/{name}")
        if name in self.by_name:
            raise ServiceError("ResourceAlreadyExistsException", f"Template {name} already exists", resourceId=name)
        self.by_name[name] = {
            "templateArn": arn,
            "templateName": name,
            "enabled": params.get("enabled", False),
            "type": params.get("type", "FLEET_PROVISIONING"),
            "templateBody": params["templateBody"],
            "provisioningRoleArn": params["provisioningRoleArn"],
        }
        return {"templateArn": arn, "templateName": name, "defaultVersionId": 1}

    def list_provisioning_templates(self, params: Params) -> Answer:
        shown, token = page(list(self.by_name.values()), params, size="maxResults", token="nextToken")  # noqa: S106
        kept = ("templateArn", "templateName", "enabled", "type")
        found = [{key: one[key] for key in kept} for one in shown]
        return {"templates": found} | ({"nextToken": token} if token else {})

    def describe_provisioning_template(self, params: Params) -> Answer:
        template = self.by_name.get(params["templateName"])
        if template is None:
            raise missing(f"Template {params['templateName']}")
        return dict(template)
