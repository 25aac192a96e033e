using System.Security.Cryptography;
using System.Text;

namespace Hydragen.Cuda;

/// <summary>
/// Compiled kernels and chosen algorithms on disk, each under the hash of everything that it was made from. Files appear whole, by
/// renaming. A folder that cannot be read or written only costs compilations and searches.
/// </summary>
internal sealed class KernelCache(string? folder)
{
    /// <summary><c>hydragen/kernels</c> in the user's cache folder; null when the user has none.</summary>
    public static string? DefaultFolder
    {
        get
        {
            string? root = Environment.GetEnvironmentVariable("XDG_CACHE_HOME");
            string home = Environment.GetFolderPath(Environment.SpecialFolder.UserProfile);
            if (string.IsNullOrEmpty(root)) root = home.Length == 0 ? null : Path.Combine(home, ".cache");
            return root is null ? null : Path.Combine(root, "hydragen", "kernels");
        }
    }

    /// <summary>The name of what is made from some texts.</summary>
    public static string Key(IEnumerable<string> texts)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (string text in texts)
        {
            byte[] bytes = Encoding.UTF8.GetBytes(text);
            hash.AppendData(BitConverter.GetBytes(bytes.LongLength));
            hash.AppendData(bytes);
        }
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    /// <summary>Finds a kernel and its compilation log.</summary>
    public bool TryRead(string key, out byte[] binary, out string log)
    {
        binary = [];
        log = "";
        if (folder is null) return false;
        try
        {
            // The binary is written last.
            if (!File.Exists(PathOf(key, "cubin"))) return false;
            binary = File.ReadAllBytes(PathOf(key, "cubin"));
            log = File.ReadAllText(PathOf(key, "log"));
            return true;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    /// <summary>Keeps a kernel and its compilation log.</summary>
    public void Write(string key, byte[] binary, string log)
    {
        if (folder is null) return;
        try
        {
            Directory.CreateDirectory(folder);
            WriteWhole(PathOf(key, "log"), Encoding.UTF8.GetBytes(log));
            WriteWhole(PathOf(key, "cubin"), binary);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
        }
    }

    /// <summary>Finds something small of another kind.</summary>
    /// <param name="key">Its name.</param>
    /// <param name="extension">Its kind.</param>
    /// <param name="content">Filled completely when found.</param>
    /// <returns>Whether it was found with just this size.</returns>
    public bool TryRead(string key, string extension, Span<byte> content)
    {
        if (folder is null) return false;
        try
        {
            string path = PathOf(key, extension);
            if (!File.Exists(path)) return false;
            byte[] found = File.ReadAllBytes(path);
            return found.AsSpan().TryCopyTo(content) && found.Length == content.Length;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    /// <summary>Keeps something small of another kind.</summary>
    public void Write(string key, string extension, ReadOnlySpan<byte> content)
    {
        if (folder is null) return;
        try
        {
            Directory.CreateDirectory(folder);
            WriteWhole(PathOf(key, extension), content.ToArray());
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
        }
    }

    private static void WriteWhole(string path, byte[] content)
    {
        string temporary = $"{path}.{Guid.NewGuid():N}";
        File.WriteAllBytes(temporary, content);
        File.Move(temporary, path, overwrite: true);
    }

    private string PathOf(string key, string extension) => Path.Combine(folder!, $"{key}.{extension}");
}
