using System.Text;
using System.Text.Json;

namespace Hydragen.Cli.Input;

/// <summary>Reads JSON Lines and names the line of every mistake.</summary>
internal static class JsonLinesReader
{
    private static readonly JsonDocumentOptions Options = new() { AllowDuplicateProperties = false };

    /// <summary>The objects of a file, or of <paramref name="standardInput"/> for a null path; blank lines are skipped.</summary>
    public static IEnumerable<(string Where, JsonElement Value)> Read(string? path, Stream standardInput)
    {
        using StreamReader reader = InputFile.ReadStrictly(path is null ? standardInput : InputFile.Open(path));
        string name = path ?? "standard input";
        for (int lineNumber = 1; ReadLine(reader, name) is string line; lineNumber++)
        {
            string where = $"{name}, line {lineNumber}";
            if (!string.IsNullOrWhiteSpace(line)) yield return (where, Parse(line, where));
        }
    }

    public static int[] ReadIds(JsonElement array, string where)
    {
        if (array.ValueKind != JsonValueKind.Array) throw new InputException($"{where}: \"ids\" must be an array of integers.");
        var ids = new int[array.GetArrayLength()];
        int i = 0;
        foreach (JsonElement element in array.EnumerateArray())
        {
            if (element.ValueKind != JsonValueKind.Number || !element.TryGetInt32(out ids[i++]))
                throw new InputException($"{where}: \"ids\" holds {Shorten(element.GetRawText())}, which is not an integer.");
        }
        return ids;
    }

    public static string ReadText(JsonElement element, string where)
    {
        if (element.ValueKind != JsonValueKind.String) throw new InputException($"{where}: \"text\" must be a string.");
        try
        {
            return element.GetString()!;
        }
        catch (InvalidOperationException)
        {
            throw new InputException($"{where}: \"text\" is not valid Unicode.");
        }
    }

    private static string? ReadLine(StreamReader reader, string name)
    {
        try
        {
            return reader.ReadLine();
        }
        catch (DecoderFallbackException exception)
        {
            throw new InputException($"{name} is not UTF-8 text.", exception);
        }
    }

    private static JsonElement Parse(string line, string where)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(line, Options);
            if (document.RootElement.ValueKind != JsonValueKind.Object)
                throw new InputException($"{where}: expected a JSON object, found {Shorten(line)}.");
            return document.RootElement.Clone();
        }
        catch (JsonException exception)
        {
            throw new InputException($"{where}: not valid JSON ({exception.Message.TrimEnd('.')}).", exception);
        }
    }

    private static string Shorten(string text) => text.Length <= 40 ? text : text[..40] + "…";
}
