using System.Text.Json;

namespace Hydragen.Cli.Input;

/// <summary>Reads JSON Lines and names the line of every mistake.</summary>
internal static class JsonLinesReader
{
    private static readonly JsonDocumentOptions Options = new() { AllowDuplicateProperties = false };

    /// <summary>The objects of a file, or of standard input for null; blank lines are skipped.</summary>
    public static IEnumerable<(int LineNumber, JsonElement Value)> Read(string? path)
    {
        using TextReader reader = path is null ? Console.In : new StreamReader(InputFile.Open(path));
        string name = path ?? "standard input";
        int lineNumber = 0;
        while (reader.ReadLine() is string line)
        {
            lineNumber++;
            if (!string.IsNullOrWhiteSpace(line)) yield return (lineNumber, Parse(line, name, lineNumber));
        }
    }

    /// <summary>The tokens of a line: its "ids", or its "text" encoded.</summary>
    public static IReadOnlyList<int> ReadIds(JsonElement array, string where)
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

    private static JsonElement Parse(string line, string name, int lineNumber)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(line, Options);
            if (document.RootElement.ValueKind != JsonValueKind.Object)
                throw new InputException($"{name}, line {lineNumber}: expected a JSON object, found {Shorten(line)}.");
            return document.RootElement.Clone();
        }
        catch (JsonException exception)
        {
            throw new InputException($"{name}, line {lineNumber}: not valid JSON ({exception.Message})", exception);
        }
    }

    private static string Shorten(string text) => text.Length <= 40 ? text : text[..40] + "…";
}
