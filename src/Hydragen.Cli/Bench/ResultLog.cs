using System.Text;
using System.Text.Json;
using Hydragen.Cli.Input;
using Hydragen.Cli.Output;

namespace Hydragen.Cli.Bench;

/// <summary>
/// A file of JSON lines that keeps what a benchmark has measured, so that a run that was cut off goes on where it ended: a header with
/// the settings, and rows, each on disk as soon as it is measured.
/// </summary>
internal sealed class ResultLog : IDisposable
{
    private const string TypeName = "type", SettingsName = "settings", HeaderType = "header", EndType = "end";

    private readonly string? _header;
    private FileStream? _stream;

    private ResultLog(string path, string? header, IReadOnlyList<JsonElement> rows)
    {
        Path = path;
        _header = header;
        Rows = rows;
    }

    /// <summary>The file.</summary>
    public string Path { get; }

    /// <summary>Rows of earlier runs.</summary>
    public IReadOnlyList<JsonElement> Rows { get; }

    /// <summary>Opens a file, or one that is still to be written.</summary>
    /// <param name="path">The file.</param>
    /// <param name="writeSettings">Writes everything that a row depends on, one property each.</param>
    /// <exception cref="InputException">The file holds something else, or results of other settings.</exception>
    public static ResultLog Open(string path, Action<Utf8JsonWriter> writeSettings)
    {
        InputFile.CheckOutput(path);
        List<(string Text, JsonElement Line)> lines = File.Exists(path) ? ReadLines(path) : [];
        if (lines.Count == 0) return new ResultLog(path, null, []);
        JsonElement header = lines[0].Line;
        if (TypeOf(header) != HeaderType || !header.TryGetProperty(SettingsName, out JsonElement settings) || settings.ValueKind != JsonValueKind.Object)
            throw new InputException($"'{path}' holds no results of this benchmark; give --resume another file.");
        CheckSettings(path, settings, ToElement(writeSettings));
        return new ResultLog(path, lines[0].Text, [.. lines.Skip(1).Select(line => line.Line).Where(line => TypeOf(line) != EndType)]);
    }

    /// <summary>Puts the file in place with the header, an earlier run's if there is one, and some of <see cref="Rows"/>.</summary>
    /// <param name="writeHeader">Writes the header of a new file.</param>
    /// <param name="rows">The rows to keep.</param>
    /// <returns>Receives further lines.</returns>
    public JsonLines Start(Action<JsonLines> writeHeader, IReadOnlyList<JsonElement> rows)
    {
        string temporary = $"{Path}.{Guid.NewGuid():N}.tmp";
        try
        {
            using (var stream = new FileStream(temporary, FileMode.CreateNew, FileAccess.Write))
            {
                if (_header is null) writeHeader(new JsonLines(stream));
                else stream.Write(Encoding.UTF8.GetBytes(_header + "\n"));
                foreach (JsonElement row in rows) stream.Write(Encoding.UTF8.GetBytes(row.GetRawText() + "\n"));
            }
            File.Move(temporary, Path, overwrite: true);
        }
        catch
        {
            File.Delete(temporary);
            throw;
        }
        _stream = new FileStream(Path, FileMode.Append, FileAccess.Write, FileShare.Read);
        return new JsonLines(_stream);
    }

    /// <inheritdoc/>
    public void Dispose() => _stream?.Dispose();

    /// <summary>A last line without its end was cut off while it was written, and does not count.</summary>
    private static List<(string Text, JsonElement Line)> ReadLines(string path)
    {
        string text = InputFile.ReadText(path);
        var lines = new List<(string, JsonElement)>();
        string[] parts = text.Split('\n');
        for (int i = 0; i < parts.Length - 1; i++)
        {
            if (parts[i].Length == 0) continue;
            try
            {
                using JsonDocument document = JsonDocument.Parse(parts[i]);
                if (document.RootElement.ValueKind != JsonValueKind.Object) throw new JsonException("no object");
                lines.Add((parts[i], document.RootElement.Clone()));
            }
            catch (JsonException exception)
            {
                throw new InputException($"'{path}', line {i + 1}, is no JSON object; give --resume another file.", exception);
            }
        }
        return lines;
    }

    private static void CheckSettings(string path, JsonElement found, JsonElement wanted)
    {
        foreach (JsonProperty property in wanted.EnumerateObject())
        {
            string there = found.TryGetProperty(property.Name, out JsonElement value) ? value.GetRawText() : "nothing";
            if (there != property.Value.GetRawText())
                throw new InputException($"'{path}' holds results of other settings: {property.Name} is {there} there and {property.Value.GetRawText()} here. Give --resume another file.");
        }
    }

    private static string? TypeOf(JsonElement line) => line.TryGetProperty(TypeName, out JsonElement type) ? type.GetString() : null;

    private static JsonElement ToElement(Action<Utf8JsonWriter> write)
    {
        using var stream = new MemoryStream();
        new JsonLines(stream).Write(write);
        using JsonDocument document = JsonDocument.Parse(stream.ToArray());
        return document.RootElement.Clone();
    }
}
