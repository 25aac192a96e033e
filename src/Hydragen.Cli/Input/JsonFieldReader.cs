using System.Text.Json;

namespace Hydragen.Cli.Input;

/// <summary>Reads the fields of a JSON object by type; absent and null are the same, unknown fields are refused.</summary>
internal sealed class JsonFieldReader
{
    private readonly JsonElement _element;
    private readonly string _where;

    public JsonFieldReader(JsonElement element, string where, string[] known)
    {
        _element = element;
        _where = where;
        if (element.ValueKind != JsonValueKind.Object) throw new InputException($"{where} must be a JSON object.");
        foreach (JsonProperty property in element.EnumerateObject())
        {
            if (!known.Contains(property.Name)) throw new InputException($"{where} has the unknown field \"{property.Name}\"; known are {string.Join(", ", known)}.");
        }
    }

    public IEnumerable<JsonElement> Array(string name)
    {
        JsonElement? value = Find(name);
        if (value is null) return [];
        return value.Value.ValueKind == JsonValueKind.Array ? value.Value.EnumerateArray() : throw Wrong(name, "an array");
    }

    public int? Integer(string name)
    {
        JsonElement? value = Find(name);
        if (value is null) return null;
        return value.Value.ValueKind == JsonValueKind.Number && value.Value.TryGetInt32(out int integer) ? integer : throw Wrong(name, "an integer");
    }

    public float? Number(string name)
    {
        JsonElement? value = Find(name);
        if (value is null) return null;
        return value.Value.ValueKind == JsonValueKind.Number ? value.Value.GetSingle() : throw Wrong(name, "a number");
    }

    public bool? Boolean(string name) => Find(name)?.ValueKind switch
    {
        null => null,
        JsonValueKind.True => true,
        JsonValueKind.False => false,
        _ => throw Wrong(name, "true or false"),
    };

    private JsonElement? Find(string name) =>
        _element.TryGetProperty(name, out JsonElement value) && value.ValueKind != JsonValueKind.Null ? value : null;

    private InputException Wrong(string name, string expected) => new($"{_where}: \"{name}\" must be {expected}.");
}
