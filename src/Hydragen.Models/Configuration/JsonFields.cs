using System.Text.Json;

namespace Hydragen.Models;

/// <summary>
/// The fields of a JSON object, read by name and checked for kind and range. Remembers which fields were read, so that a key
/// that nobody understood can be refused.
/// </summary>
internal sealed class JsonFields
{
    private readonly string _path;
    private readonly string _prefix;
    private readonly HashSet<string> _read = new(StringComparer.Ordinal);

    public JsonFields(string path, JsonElement value, string prefix = "")
    {
        _path = path;
        _prefix = prefix;
        Value = value;
        if (value.ValueKind != JsonValueKind.Object)
        {
            string name = prefix.Length == 0 ? "the file" : prefix.TrimEnd('.');
            throw new ModelFormatException(path, $"{name} must hold a JSON object, not {Describe(value)}");
        }
    }

    public JsonElement Value { get; }

    /// <summary>Parses a file of at most <paramref name="maxBytes"/>; duplicate keys are refused.</summary>
    public static JsonFields ReadFile(string path, int maxBytes)
    {
        using Microsoft.Win32.SafeHandles.SafeFileHandle handle = SafetensorsFile.OpenRegularFile(path, out long length);
        if (length > maxBytes) throw new ModelFormatException(path, $"the file has {length} bytes; at most {maxBytes} are expected");
        var bytes = new byte[length];
        int numRead = SafetensorsFile.ReadSome(handle, bytes, 0);
        try
        {
            using JsonDocument document = JsonDocument.Parse(
                bytes.AsMemory(0, numRead), new JsonDocumentOptions { AllowDuplicateProperties = false });
            return new JsonFields(path, document.RootElement.Clone());
        }
        catch (JsonException e)
        {
            throw new ModelFormatException(path, $"this is not valid JSON (line {e.LineNumber + 1}, byte {e.BytePositionInLine})", e);
        }
        catch (InvalidOperationException e)
        {
            throw new ModelFormatException(path, "a key is not valid Unicode", e);
        }
    }

    /// <summary>Finds a field that is present and not null, and marks it as read.</summary>
    public bool TryGet(string name, out JsonElement value)
    {
        _read.Add(name);
        return Value.TryGetProperty(name, out value) && value.ValueKind != JsonValueKind.Null;
    }

    public bool Has(string name) => Value.TryGetProperty(name, out JsonElement value) && value.ValueKind != JsonValueKind.Null;

    /// <summary>Marks a field as understood although its value is not needed.</summary>
    public void Ignore(string name) => _read.Add(name);

    public int? Integer(string name, int min, int max)
    {
        if (!TryGet(name, out JsonElement value)) return null;
        if (value.ValueKind != JsonValueKind.Number || !value.TryGetInt32(out int result) || result < min || result > max)
            throw Error(name, $"must be an integer from {min} to {max}, but is {Describe(value)}");
        return result;
    }

    public int RequiredInteger(string name, int min, int max) =>
        Integer(name, min, max) ?? throw Error(name, "is missing");

    public double? PositiveNumber(string name) => Number(name, mustBePositive: true);

    public double? Number(string name, bool mustBePositive = false)
    {
        if (!TryGet(name, out JsonElement value)) return null;
        if (value.ValueKind != JsonValueKind.Number || !value.TryGetDouble(out double result) || !float.IsFinite((float)result) ||
            (mustBePositive && (float)result <= 0))
        {
            throw Error(name, $"must be a {(mustBePositive ? "positive" : "finite")} number, but is {Describe(value)}");
        }
        return result;
    }

    public bool? Boolean(string name)
    {
        if (!TryGet(name, out JsonElement value)) return null;
        if (value.ValueKind is not (JsonValueKind.True or JsonValueKind.False)) throw Error(name, $"must be true or false, but is {Describe(value)}");
        return value.GetBoolean();
    }

    public string? Text(string name) => TryGet(name, out JsonElement value) ? TextOf(name, value) : null;

    public string[]? Texts(string name, int maxCount)
    {
        if (!TryGet(name, out JsonElement value)) return null;
        if (value.ValueKind != JsonValueKind.Array || value.GetArrayLength() > maxCount)
            throw Error(name, $"must be a list of at most {maxCount} strings");
        var texts = new List<string>();
        foreach (JsonElement item in value.EnumerateArray()) texts.Add(TextOf(name, item));
        return [.. texts];
    }

    /// <summary>One token id or a list of them; null when absent.</summary>
    public int[]? TokenIds(string name)
    {
        if (!TryGet(name, out JsonElement value)) return null;
        var ids = new List<int>();
        if (value.ValueKind == JsonValueKind.Array)
        {
            foreach (JsonElement item in value.EnumerateArray()) ids.Add(TokenId(name, item));
        }
        else
        {
            ids.Add(TokenId(name, value));
        }
        return [.. ids];
    }

    public JsonFields? Object(string name) =>
        TryGet(name, out JsonElement value) ? new JsonFields(_path, value, $"{_prefix}{name}.") : null;

    /// <summary>Names of the fields that nobody read.</summary>
    public IEnumerable<string> UnreadNames()
    {
        foreach (JsonProperty property in Value.EnumerateObject())
        {
            string name = NameOf(property);
            if (!_read.Contains(name)) yield return name;
        }
    }

    public ModelFormatException Error(string name, string problem) => new(_path, $"'{_prefix}{name}' {problem}");

    public static string Describe(JsonElement value)
    {
        if (value.ValueKind is JsonValueKind.Object) return "an object";
        if (value.ValueKind is JsonValueKind.Array) return "a list";
        string text = value.GetRawText();
        return text.Length <= 60 ? text : string.Concat(text.AsSpan(0, 60), "…");
    }

    private int TokenId(string name, JsonElement value)
    {
        if (value.ValueKind != JsonValueKind.Number || !value.TryGetInt32(out int id) || id < 0)
            throw Error(name, $"must be a token id or a list of them, but has {Describe(value)}");
        return id;
    }

    private string NameOf(JsonProperty property)
    {
        try
        {
            return property.Name;
        }
        catch (InvalidOperationException e)
        {
            throw new ModelFormatException(_path, "a key is not valid Unicode", e);
        }
    }

    private string TextOf(string name, JsonElement value)
    {
        if (value.ValueKind != JsonValueKind.String) throw Error(name, $"must be text, but is {Describe(value)}");
        try
        {
            return value.GetString()!;
        }
        catch (InvalidOperationException e)
        {
            throw new ModelFormatException(_path, $"'{_prefix}{name}' is not valid Unicode", e);
        }
    }
}
