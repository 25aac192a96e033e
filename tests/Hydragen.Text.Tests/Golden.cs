using System.Text.Json;

namespace Hydragen.Text.Tests;

/// <summary>What the format's reference implementation does, as tools/golden/make_tokenizers.py recorded it.</summary>
internal static class Golden
{
    public static string Folder { get; } = Path.Combine(FindRepository(), "tests", "golden", "tokenizers");

    public static TheoryData<string> Names()
    {
        TheoryData<string> names = [];
        foreach (string folder in Directory.GetDirectories(Folder).Order(StringComparer.Ordinal))
            names.Add(Path.GetFileName(folder));
        return names;
    }

    public static Tokenizer Load(string name) => Tokenizer.Load(Path.Combine(Folder, name));

    public static JsonElement ReadJson(params string[] path)
    {
        using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(Path.Combine([Folder, .. path])));
        return document.RootElement.Clone();
    }

    public static int[] Ids(JsonElement element) => [.. element.EnumerateArray().Select(id => id.GetInt32())];

    private static string FindRepository()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "Hydragen.slnx")))
                return folder.FullName;
        }

        throw new InvalidOperationException("Hydragen.slnx is in no folder above the tests.");
    }
}
