"""The API page shows what the document says, for people."""

from aitrading.server.dashboard.api_document import ApiDocument

DOCUMENT = {
    "paths": {
        "/docs": {"get": {"summary": "Pages."}},
        "/api/v1/orders/{order}": {
            "delete": {
                "summary": "Cancel.",
                "security": [{"bearer": []}],
                "x-scope": "trade",
                "parameters": [{"name": "order", "in": "path"}],
                "responses": {
                    "204": {"description": "Done."},
                    "409": {"description": "`TRADING_NOT_AVAILABLE`"},
                    "default": {"description": "Refused."},
                },
            },
            "get": {"summary": "Look.", "security": [{"bearer": []}]},
        },
    }
}


def test_operations_are_grouped_by_subject_with_access_and_refusals() -> None:
    groups = {group.name: group.operations for group in ApiDocument(DOCUMENT).view()}
    assert set(groups) == {"orders", "pages"}
    look, cancel = groups["orders"]
    assert (look.method, look.access) == ("GET", "logged in")
    assert cancel.access == "scope trade"
    assert cancel.refusals == ("409 TRADING_NOT_AVAILABLE",)
    assert cancel.parameters == (("order", ""),)
    assert cancel.anchor == "delete-api-v1-orders-order"
    assert groups["pages"][0].access == "anybody"


def test_the_document_of_this_release_can_be_shown() -> None:
    document = ApiDocument.load()
    assert document.content["openapi"].startswith("3.1")
    assert any(group.name == "auth" for group in document.view())
