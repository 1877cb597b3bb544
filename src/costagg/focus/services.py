"""What FOCUS calls the services that cost lines name by AWS's product codes.

Categories and subcategories are the allowed values of FOCUS 1.3, ServiceCategory and ServiceSubcategory: a
service has one of each. Pure.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Service:
    """A service as FOCUS has it."""

    name: str
    category: str
    subcategory: str


def service_of(product_code: str) -> Service:
    """The service of a product code; one that is not listed keeps its code as name."""
    return _SERVICES.get(product_code) or Service(product_code, "Other", "Other (Other)")


_AI: Final = "AI and Machine Learning"
_MANAGEMENT: Final = "Management and Governance"

_SERVICES: Final = {
    "AmazonBedrock": Service("Amazon Bedrock", _AI, "Generative AI"),
    "AmazonSageMaker": Service("Amazon SageMaker", _AI, "Machine Learning"),
    "AmazonDynamoDB": Service("Amazon DynamoDB", "Databases", "NoSQL Databases"),
    "AmazonKinesis": Service("Amazon Kinesis", "Analytics", "Streaming Analytics"),
    "AmazonCloudWatch": Service("Amazon CloudWatch", _MANAGEMENT, "Observability"),
    "AWSXRay": Service("AWS X-Ray", _MANAGEMENT, "Observability"),
    "AmazonECS": Service("Amazon Elastic Container Service", "Compute", "Containers"),
    "AmazonS3": Service("Amazon Simple Storage Service", "Storage", "Object Storage"),
    "awskms": Service("AWS Key Management Service", "Security", "Secret Management"),
}
