using System.Text;

namespace Hydragen.Cli.Tests;

/// <summary>A folder that goes away with its test.</summary>
internal sealed class TemporaryFolder : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("hydragen-cli-test-").FullName;

    public string this[string name] => System.IO.Path.Combine(Path, name);

    public string Write(string name, string text) => Write(name, Encoding.UTF8.GetBytes(text));

    public string Write(string name, byte[] bytes)
    {
        File.WriteAllBytes(this[name], bytes);
        return this[name];
    }

    /// <summary>A copy of the embedded model with some files replaced, or removed for null.</summary>
    public string CopyModel(params (string Name, byte[]? Bytes)[] changes)
    {
        string folder = this[$"model-{Guid.NewGuid():N}"];
        Directory.CreateDirectory(folder);
        foreach (string file in Directory.GetFiles(Cli.EmbeddedModel, "*.*"))
        {
            string name = System.IO.Path.GetFileName(file);
            if (!changes.Any(change => change.Name == name)) File.Copy(file, System.IO.Path.Combine(folder, name));
        }
        foreach ((string name, byte[]? bytes) in changes)
        {
            if (bytes is not null) File.WriteAllBytes(System.IO.Path.Combine(folder, name), bytes);
        }
        return folder;
    }

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
