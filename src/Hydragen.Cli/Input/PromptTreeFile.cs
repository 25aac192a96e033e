using System.Text.Json;
using Hydragen.Cli.Commands;
using Hydragen.Engine;

namespace Hydragen.Cli.Input;

/// <summary>Reads a prompt tree: <c>{"text"|"ids", "children":[…], "samples":n}</c>, one root or an array of roots.</summary>
internal static class PromptTreeFile
{
    private const int MaxDepth = 600;

    /// <summary>The roots, and whether the file holds a single one.</summary>
    public static (IReadOnlyList<PromptNode> Roots, bool IsSingle) Read(string path)
    {
        try
        {
            using FileStream stream = InputFile.Open(path);
            using JsonDocument document = JsonDocument.Parse(stream, new JsonDocumentOptions { AllowDuplicateProperties = false, MaxDepth = MaxDepth });
            if (document.RootElement.ValueKind != JsonValueKind.Array) return ([ReadNode(document.RootElement, $"{path}, root")], true);
            PromptNode[] roots = [.. document.RootElement.EnumerateArray().Select((element, i) => ReadNode(element, $"{path}, node [{i}]"))];
            return roots.Length > 0 ? (roots, false) : throw new InputException($"{path}: the array holds no prompt.");
        }
        catch (JsonException exception)
        {
            throw new InputException($"{path}: not valid JSON ({exception.Message.TrimEnd('.')}).", exception);
        }
    }

    private static PromptNode ReadNode(JsonElement element, string where)
    {
        if (element.ValueKind != JsonValueKind.Object) throw new InputException($"{where}: expected an object.");
        var node = new PromptNode();
        foreach (JsonProperty property in element.EnumerateObject())
        {
            node = property.Name switch
            {
                "text" => node with { Text = JsonLinesReader.ReadText(property.Value, where) },
                "ids" => node with { TokenIds = JsonLinesReader.ReadIds(property.Value, where) },
                "samples" => node with { Samples = ReadSamples(property.Value, where) },
                "children" => node with { Children = ReadChildren(property.Value, where) },
                _ => throw new InputException($"{where}: unknown property \"{property.Name}\"; known are text, ids, children and samples."),
            };
        }
        if (node.Text is null == node.TokenIds is null) throw new InputException($"{where}: give either \"text\" or \"ids\".");
        return node;
    }

    private static int ReadSamples(JsonElement element, string where) =>
        element.ValueKind == JsonValueKind.Number && element.TryGetInt32(out int samples) && samples is >= 0 and <= SamplingArguments.MaxSamples
            ? samples : throw new InputException($"{where}: \"samples\" must be a whole number from 0 to {SamplingArguments.MaxSamples}, not {element.GetRawText()}.");

    private static PromptNode[] ReadChildren(JsonElement element, string where)
    {
        if (element.ValueKind != JsonValueKind.Array) throw new InputException($"{where}: \"children\" must be an array.");
        return [.. element.EnumerateArray().Select((child, i) => ReadNode(child, $"{where}, child {i}"))];
    }
}
