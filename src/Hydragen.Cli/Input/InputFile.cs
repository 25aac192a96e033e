namespace Hydragen.Cli.Input;

/// <summary>Files that the user names.</summary>
internal static class InputFile
{
    public static FileStream Open(string path)
    {
        try
        {
            return new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new InputException($"Cannot read '{path}': {exception.Message}", exception);
        }
    }

    public static string ReadText(string path)
    {
        using var reader = new StreamReader(Open(path));
        return reader.ReadToEnd();
    }

    /// <summary>Checks before long work that a file can be written later.</summary>
    public static void CheckOutput(string path)
    {
        string? folder = Path.GetDirectoryName(Path.GetFullPath(path));
        if (folder is null || !Directory.Exists(folder)) throw new InputException($"Cannot write '{path}': its folder does not exist.");
        if (Directory.Exists(path)) throw new InputException($"Cannot write '{path}': it is a folder.");
    }
}
