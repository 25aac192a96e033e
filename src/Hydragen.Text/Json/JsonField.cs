using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text;
using System.Text.Json;

namespace Hydragen.Text.Json;

/// <summary>A JSON value together with where it stands, so that every refusal can name its place.</summary>
internal readonly struct JsonField
{
    private readonly string _source;
    private readonly JsonElement _element;

    public JsonField(string source, string path, JsonElement element)
    {
        _source = source;
        Path = path;
        _element = element;
    }

    public string Path { get; }

    public JsonElement Element => _element;

    public JsonValueKind Kind => _element.ValueKind;

    public bool IsNull => Kind == JsonValueKind.Null;

    /// <summary>The member <paramref name="name"/>, which must be present (it may be null).</summary>
    public JsonField Required(string name)
    {
        RequireKind(JsonValueKind.Object, "an object");
        return _element.TryGetProperty(name, out JsonElement value)
            ? new JsonField(_source, $"{Path}.{Shorten(name)}", value)
            : throw Error($"the field '{Shorten(name)}' is missing");
    }

    /// <summary>The member <paramref name="name"/>, or nothing when it is absent or null.</summary>
    public bool TryGet(string name, out JsonField field)
    {
        RequireKind(JsonValueKind.Object, "an object");
        if (_element.TryGetProperty(name, out JsonElement value) && value.ValueKind != JsonValueKind.Null)
        {
            field = new JsonField(_source, $"{Path}.{name}", value);
            return true;
        }

        field = default;
        return false;
    }

    public JsonField Item(int index, JsonElement element) =>
        new(_source, string.Create(CultureInfo.InvariantCulture, $"{Path}[{index}]"), element);

    public JsonField Member(string name, JsonElement element) => new(_source, $"{Path}[\"{Shorten(name)}\"]", element);

    /// <summary>The elements of an array, each with its path.</summary>
    public IEnumerable<JsonField> Items()
    {
        RequireKind(JsonValueKind.Array, "an array");
        int index = 0;
        foreach (JsonElement element in _element.EnumerateArray())
            yield return Item(index++, element);
    }

    public string AsString()
    {
        RequireKind(JsonValueKind.String, "a string");
        return ReadString(_element);
    }

    /// <summary>The text of a string element below this field, whose kind the caller has checked.</summary>
    public string ReadString(JsonElement element)
    {
        try
        {
            return element.GetString()!;
        }
        catch (InvalidOperationException e)
        {
            throw Error("the string is not valid Unicode (a lone surrogate or broken UTF-8)", e);
        }
    }

    /// <summary>The name of a member of this object.</summary>
    public string ReadName(JsonProperty property)
    {
        try
        {
            return property.Name;
        }
        catch (InvalidOperationException e)
        {
            throw Error("a member name is not valid Unicode (a lone surrogate or broken UTF-8)", e);
        }
    }

    public bool AsBoolean() => Kind switch
    {
        JsonValueKind.True => true,
        JsonValueKind.False => false,
        _ => throw Unexpected("true or false"),
    };

    public int AsInt32(int minimum, int maximum)
    {
        string range = string.Create(CultureInfo.InvariantCulture, $"a whole number from {minimum} to {maximum}");
        RequireKind(JsonValueKind.Number, range);
        return _element.TryGetInt32(out int value) && value >= minimum && value <= maximum ? value : throw Unexpected(range);
    }

    /// <summary>A string of exactly one code point.</summary>
    public Rune AsRune()
    {
        string text = AsString();
        return Rune.TryGetRuneAt(text, 0, out Rune rune) && rune.Utf16SequenceLength == text.Length
            ? rune
            : throw Unexpected("a string of exactly one character");
    }

    public string RequiredString(string name) => Required(name).AsString();

    public bool RequiredBoolean(string name) => Required(name).AsBoolean();

    public bool OptionalBoolean(string name, bool defaultValue) => TryGet(name, out JsonField field) ? field.AsBoolean() : defaultValue;

    public string? OptionalString(string name) => TryGet(name, out JsonField field) ? field.AsString() : null;

    public TokenizerFormatException Error(string problem, Exception? innerException = null) => new(_source, Path, problem, innerException);

    /// <summary>The refusal of a value of the wrong kind or range.</summary>
    public TokenizerFormatException Unexpected(string expected) => Error($"found {Describe()}, expected {expected}");

    /// <summary>The refusal of a component type that is not supported.</summary>
    public TokenizerFormatException UnsupportedType(string component, string type, string supported) =>
        Error($"the {component} type '{Shorten(type)}' is not supported; supported are {supported}");

    /// <summary>The beginning of a text from the file, fit for one line of a message.</summary>
    public static string Shorten(string text, int maximumLength = 40)
    {
        int length = Math.Min(text.Length, maximumLength);
        if (length < text.Length && length > 0 && char.IsHighSurrogate(text[length - 1]))
            length--;
        StringBuilder cut = new(length + 1);
        foreach (char c in text.AsSpan(0, length))
        {
            if (char.IsControl(c) || c is '\u2028' or '\u2029')
                cut.Append(CultureInfo.InvariantCulture, $"\\u{(int)c:X4}");
            else
                cut.Append(c);
        }

        return (length < text.Length ? cut.Append('…') : cut).ToString();
    }

    public void RequireKind(JsonValueKind kind, string expected)
    {
        if (Kind != kind)
            throw Unexpected(expected);
    }

    [SuppressMessage("Design", "CA1031", Justification = "A description must not fail on the value it describes.")]
    private string Describe()
    {
        switch (Kind)
        {
            case JsonValueKind.Object: return "an object";
            case JsonValueKind.Array: return "an array";
            case JsonValueKind.Null: return "null";
            case JsonValueKind.Undefined: return "nothing";
            default:
                try
                {
                    return Shorten(_element.GetRawText());
                }
                catch (Exception)
                {
                    return "an unreadable value";
                }
        }
    }
}
