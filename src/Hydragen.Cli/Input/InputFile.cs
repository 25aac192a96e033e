using System.Text;

namespace Hydragen.Cli.Input;

/// <summary>Files that the user names.</summary>
internal static class InputFile
{
    private static readonly UTF8Encoding StrictUtf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    public static FileStream Open(string path)
    {
        if (string.IsNullOrWhiteSpace(path)) throw new InputException("A file name is empty.");
        if (Directory.Exists(path)) throw new InputException($"Cannot read '{path}': it is a folder.");
        try
        {
            return new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read);
        }
        catch (Exception exception) when (exception is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new InputException($"There is no file '{path}'.", exception);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new InputException($"Cannot read '{path}': {exception.Message}", exception);
        }
    }

    /// <summary>Reads UTF-8 (with or without a byte order mark, or UTF-16 with one) and refuses other bytes instead of replacing them.</summary>
    public static StreamReader ReadStrictly(Stream stream) => new(stream, StrictUtf8, detectEncodingFromByteOrderMarks: true);

    /// <summary>A whole text; line ends become LF.</summary>
    public static string ReadText(string path)
    {
        try
        {
            using StreamReader reader = ReadStrictly(Open(path));
            return reader.ReadToEnd().ReplaceLineEndings("\n");
        }
        catch (DecoderFallbackException exception)
        {
            throw new InputException($"'{path}' is not UTF-8 text.", exception);
        }
    }

    /// <summary>Checks before long work that a file can be written later and is none of the inputs.</summary>
    public static void CheckOutput(string path, params string?[] inputs)
    {
        if (string.IsNullOrWhiteSpace(path)) throw new InputException("The name of the output file is empty.");
        string fullPath = Path.GetFullPath(path);
        if (Directory.Exists(fullPath)) throw new InputException($"Cannot write '{path}': it is a folder.");
        string? folder = Path.GetDirectoryName(fullPath);
        if (folder is null || !Directory.Exists(folder)) throw new InputException($"Cannot write '{path}': its folder does not exist.");
        if (IsDevice(fullPath, folder)) throw new InputException($"Cannot write '{path}': it is a device, and the file is put in place by renaming.");
        foreach (string? input in inputs)
        {
            if (!string.IsNullOrEmpty(input) && Path.GetFullPath(input) == fullPath)
                throw new InputException($"Cannot write '{path}': it is also the input.");
        }
    }

    /// <summary>A rename would replace the device itself. Folders for files, such as /dev/shm, stay allowed.</summary>
    private static bool IsDevice(string fullPath, string folder) =>
        !OperatingSystem.IsWindows() && File.Exists(fullPath)
        && (folder is "/dev" or "/dev/fd" or "/dev/pts" || folder.StartsWith("/proc", StringComparison.Ordinal));
}
